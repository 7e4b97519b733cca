package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/internal/explain"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/tracer"
)

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
		actions, err := explain.Recorded(line)
		if err != nil {
			return
		}
		x := cause.NewExplainer(k, &cause.Options{Recorded: true})
		for _, e := range actions {
			if e.Cause == nil && e.File == nil { // whose file is not looked for on this machine
				e.Cause = x.Explain(t.Context(), e.Action).Cause
			}
			for _, json := range []bool{false, true} {
				var out bytes.Buffer
				if err := explain.Print(&out, &e, json); err != nil {
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
