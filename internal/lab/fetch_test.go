package lab

import (
	"errors"
	"fmt"
	"testing"
)

func TestOnlyAStaleIndexIsReadAgain(t *testing.T) {
	for text, want := range map[string]bool{
		"Failed to fetch http://m.example/x.deb  404  Not Found [IP: 192.0.2.1 80]": true,
		"Failed to fetch http://m.example/x.deb  Hash Sum mismatch":                 true,
		"File has unexpected size (3 != 4). Mirror sync in progress?":               true,
		"Version '1' for 'linux-image-x' was not found":                             true,
		"Could not connect to 127.0.0.1:1 (127.0.0.1). - connect (111)":             false,
		"Temporary failure resolving 'm.example'":                                   false,
		"no space left on device":                                                   false,
	} {
		if got := isStale(fmt.Errorf("fetch: %w", &downloadError{errors.New(text)})); got != want {
			t.Errorf("isStale(%q) = %v", text, got)
		}
	}
	if isStale(errors.New("404  Not Found")) || isStale(nil) {
		t.Error("an error that is not of a download is taken for one")
	}
}
