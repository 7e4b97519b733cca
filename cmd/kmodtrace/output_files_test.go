package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/follow"
	"github.com/kmodtrace/kmodtrace/internal/outfile"
)

// TestRunOutput: what was there stays until a command is begun, and no file is written
// into that was there.
func TestRunOutput(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "report"), filepath.Join(dir, "other")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(path, other); err != nil {
		t.Fatal(err)
	}
	r := new(follow.Report)
	var err error
	if r.Unbegun, err = outfile.Create(path); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); string(got) != "old" {
		t.Errorf("%q", got)
	}
	r = new(follow.Report)
	if r.Unbegun, err = outfile.Create(path); err != nil {
		t.Fatal(err)
	}
	if err := r.Begin(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.File.WriteString("new"); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); string(got) != "new" {
		t.Errorf("while it is written: %q", got)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(other); string(got) != "old" {
		t.Errorf("another name of what was there: %q", got)
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("left in the directory: %v", left)
	}
}

// TestProfile: no variable has the program make a file, and the flag makes only a new one.
func TestProfile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "profile")
	t.Setenv("KMODTRACE_CPUPROFILE", path)
	if _, errs, status := ask(t, "explain", "no-space"); status > 2 {
		t.Error(errs)
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("a variable made a file")
	}
	if err := os.Symlink("target", path); err != nil {
		t.Fatal(err)
	}
	if _, _, status := ask(t, "--cpuprofile", path, "explain"); status == 0 {
		t.Error("it goes through a link")
	}
	if _, errs, status := ask(t, "--cpuprofile", path+"2", "explain"); status != 0 {
		t.Error(errs)
	}
	if info, err := os.Stat(path + "2"); err != nil || info.Size() == 0 {
		t.Errorf("no profile: %v", err)
	}
}
