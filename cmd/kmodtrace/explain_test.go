package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/tracer"
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
		actions, err := recorded([]byte(line))
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

// FuzzRecorded: no line of a saved stream makes explain panic: neither to read, nor to
// explain, nor to show.
func FuzzRecorded(f *testing.F) {
	for name, record := range records("x") {
		text, err := json.Marshal(record)
		if err != nil {
			f.Fatal(name, err)
		}
		f.Add(text)
	}
	for _, kind := range []string{"load", "unload", "request"} {
		for _, errno := range []string{"1", "2", "8", "11", "16", "17", "22", "129"} {
			f.Add([]byte(`{"action":"` + kind + `","module":"x","outcome":"failed","stage":"verify","errno":` + errno + `,"call":{"call":"finit_module"},"image":{"format":"elf"},"messages":["x: y"],"seen":[]}`))
		}
	}
	root := f.TempDir()
	for _, dir := range []string{"proc/sys/kernel", "sys/module", "lib/modules/1"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			f.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "proc/sys/kernel/osrelease"), []byte("1\n"), 0o600); err != nil {
		f.Fatal(err)
	}
	k, err := kernel.Open(&kernel.Options{Root: root, Modprobe: "/bin/false"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		actions, err := recorded(line)
		if err != nil {
			return
		}
		x := cause.NewExplainer(k, &cause.Options{Recorded: true})
		for _, e := range actions {
			if e.Cause == nil && e.File == nil { // whose file is not looked for on this machine
				e.Explained = x.Explain(t.Context(), e.Action)
			}
			for _, json := range []bool{false, true} {
				var out bytes.Buffer
				if err := (&explainOptions{json: json}).explained(&out, e); err != nil {
					t.Fatal(err)
				}
				if strings.ContainsRune(out.String(), '\x1b') {
					t.Errorf("%q", out.String())
				}
			}
			if e.Outcome == tracer.Failed && e.Cause == nil {
				t.Errorf("no cause: %s", line)
			}
		}
	})
}
