package lazyregexp

import (
	"regexp"
	"testing"
)

func TestNew(t *testing.T) {
	r, want := New(`(?P<name>\w+)=(\d+)`), regexp.MustCompile(`(?P<name>\w+)=(\d+)`)
	if got := r.FindStringSubmatch("a=1"); len(got) != 3 || got[1] != "a" || r.SubexpIndex("name") != 1 || r.String() != want.String() {
		t.Errorf("%q, %d, %s", got, r.SubexpIndex("name"), r)
	}
}

// TestNewInTests: a wrong expression of a package does not wait for who uses it.
func TestNewInTests(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	New(`(`)
}
