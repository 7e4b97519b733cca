package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// TestTaintWords: `list`, which reads letters, and `watch`, which reads bits, call a taint by
// the same word.
func TestTaintWords(t *testing.T) {
	const letters = "PFRCOEKXTNJ" // those that a module can carry
	bits := map[rune]tracer.Taints{'P': 0, 'F': 1, 'R': 3, 'C': 10, 'O': 12, 'E': 13, 'K': 15, 'X': 16, 'T': 17, 'N': 18, 'J': 19}
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "proc"), 0o755); err != nil {
		t.Fatal(err)
	}
	line := "hello 4096 0 - Live 0x0000000000000000 (" + letters + ")\n"
	if err := os.WriteFile(filepath.Join(root, "proc/modules"), []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	modules, err := kmod.List(&kmod.ListOptions{Root: root})
	if err != nil || len(modules) != 1 || len(modules[0].Taints) != len(letters) {
		t.Fatalf("%+v, %v", modules, err)
	}
	for _, taint := range modules[0].Taints {
		seen := tracer.Taints(1 << bits[rune(taint.Letter[0])]).Names()
		if seen[0] != taint.Word {
			t.Errorf("%s is %q in a list and %q in an event", taint.Letter, taint.Word, seen[0])
		}
	}
}
