package guest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLookPath(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "tool")
	for name, mode := range map[string]os.FileMode{"tool": 0o755, "data": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "bin", "tool"), 0o755); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=/nowhere", "PATH=" + filepath.Join(dir, "bin") + ":" + dir}
	for _, c := range []struct {
		name, want string
		errno      error
	}{
		{name: "tool", want: program}, // past a directory of that name
		{name: "./tool", want: program},
		{name: program, want: program},
		{name: "data", errno: unix.ENOENT},
		{name: "./data", errno: unix.EACCES},
		{name: "/nosuch", errno: unix.ENOENT},
		{name: "tool/x", errno: unix.ENOTDIR},
		{name: "nosuch", errno: unix.ENOENT},
		{name: strings.Repeat("x", 200<<10), errno: unix.ENOENT},
		{name: "/" + strings.Repeat("x", 5000), errno: unix.ENAMETOOLONG},
	} {
		got, err := lookPath(c.name, env, dir)
		if got != c.want || !errors.Is(err, c.errno) {
			t.Errorf("%.20q: got %q, %v; want %q, %v", c.name, got, err, c.want, c.errno)
		}
	}
	if got, err := lookPath("tool", nil, dir); err == nil {
		t.Errorf("without a PATH: got %q", got)
	}
}
