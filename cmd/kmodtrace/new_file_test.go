package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNewFile: a file is there whole or not at all, with the mode that it had, where a
// link points to; and what is no file is written to as it is.
func TestNewFile(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	holds := func(want string) {
		t.Helper()
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	f, err := createFile(link)
	if err != nil {
		t.Fatal(err)
	}
	holds("old")
	f.abandon()
	holds("old")
	if f, err = createFile(link); err != nil {
		t.Fatal(err)
	}
	if err := f.commit([]byte("new")); err != nil {
		t.Fatal(err)
	}
	f.abandon()
	holds("new")
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("left in the folder: %v", left)
	}
}

func TestNewFilePipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	got := make(chan []byte, 1)
	go func() {
		r, err := os.Open(pipe)
		if err != nil {
			got <- nil
			return
		}
		defer r.Close()
		text, _ := io.ReadAll(r)
		got <- text
	}()
	f, err := createFile(pipe)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.commit([]byte("through")); err != nil {
		t.Fatal(err)
	}
	if text := <-got; string(text) != "through" {
		t.Errorf("%q came through the pipe", text)
	}
}
