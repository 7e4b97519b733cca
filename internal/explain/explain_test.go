package explain

import (
	"strings"
	"testing"
)

// TestRecorded reads what commands print, and what is nothing like it.
func TestRecorded(t *testing.T) {
	for line, want := range map[string]string{
		`{"action":"load","module":"a","outcome":"failed","seen":[]}`:                                 "load a",
		`{"command":"load","target":"a","actions":[{"action":"load","module":"b","outcome":"live"}]}`: "load b",
		`{"command":"load","target":"a","cause":{"code":"not-found","text":"x"}}`:                     "load a not-found",
		`{"command":"unload","target":"a","cause":{"code":"not-loaded","text":"x"},"actions":[]}`:     "unload a not-loaded",
		`{"command":"load","target":"a"}`:                                                             "",
		`{"action":"request","module":"a","outcome":"failed"}`:                                        "request a",
		`{}`:                              "error",
		`[]`:                              "error",
		`null`:                            "error",
		``:                                "error",
		`{"action":"load"`:                "error",
		`{"action":"sing"}`:               "error",
		`{"action":"load","errno":"x"}`:   "error",
		`{"event":"enter"}`:               "error",
		"{\"action\":\"load\"}\x00":       "error",
		`{"command":1}`:                   "error",
		`{"actions":[{"action":"load"}]}`: "error",
	} {
		got := ""
		actions, err := Recorded([]byte(line))
		for _, e := range actions {
			got = strings.TrimSpace(got + " " + e.Kind.String() + " " + e.Module)
			if e.Cause != nil {
				got += " " + string(e.Cause.Code)
			}
		}
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s: %q, want %q (%v)", line, got, want, err)
		}
	}
}
