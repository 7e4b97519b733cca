package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func quietRoot(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "proc"), 0o700); err != nil {
		t.Fatal(err)
	}
	line := "hello 16384 0 - Live 0xffffffffc0801000 (OE)\n"
	if err := os.WriteFile(filepath.Join(root, "proc", "modules"), []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	return root
}

// TestListToClosedPipe: `kmodtrace list | head -0` fails, and says nothing.
func TestListToClosedPipe(t *testing.T) {
	for _, flag := range []string{"--json=false", "--json"} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		var stderr bytes.Buffer
		status := run([]string{"list", "--root", quietRoot(t), flag}, nil, w, &stderr)
		w.Close()
		if status != exitRefused || stderr.Len() > 0 {
			t.Errorf("%s: status %d, said %q", flag, status, stderr.String())
		}
	}
}
