package outfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNewFile: a file is there whole or not at all, with the mode that it had, where a
// link points to; and what is not a file is written to as it is.
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
	f, err := Create(link)
	if err != nil {
		t.Fatal(err)
	}
	holds("old")
	f.Abandon()
	holds("old")
	if f, err = Create(link); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit([]byte("new")); err != nil {
		t.Fatal(err)
	}
	f.Abandon()
	holds("new")
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("left in the directory: %v", left)
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
	f, err := Create(pipe)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Commit([]byte("through")); err != nil {
		t.Fatal(err)
	}
	if text := <-got; string(text) != "through" {
		t.Errorf("%q came through the pipe", text)
	}
}

// TestNewFileLinks: a link to what is not there yet stays one, and a link of somebody
// else's is not followed, wherever on the way it is.
func TestNewFileLinks(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	link := func(to, name string) {
		t.Helper()
		if err := os.Symlink(to, in(name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"directory", "other"} {
		if err := os.Mkdir(in(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	link("directory/target", "dangling")
	link("dangling", "twice")
	link("directory/../directory", "around")
	link("round", "round")
	write := func(path, text string) error {
		f, err := Create(path)
		if err != nil {
			return err
		}
		defer f.Abandon()
		return f.Commit([]byte(text))
	}
	for _, name := range []string{"dangling", "twice", "around/target", "directory/./../directory//target"} {
		if err := write(in(name), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := os.ReadFile(in("directory/target")); err != nil || string(got) != name {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"dangling", "twice", "around"} {
		if info, err := os.Lstat(in(name)); err != nil || info.Mode()&os.ModeSymlink == 0 {
			t.Errorf("the link %s is gone: %v", name, err)
		}
	}
	for name, want := range map[string]error{"round": unix.ELOOP, "none/file": unix.ENOENT, "directory/target/x": unix.ENOTDIR, "": unix.ENOENT} {
		path := in(name)
		if name == "" {
			path = ""
		}
		if err := write(path, "x"); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can make a link somebody else's")
	}
	if err := os.WriteFile(in("precious"), []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	link("precious", "planted")
	link("nothing yet", "planted too")
	link("other", "way")
	t.Setenv("SUDO_UID", "")
	for _, name := range []string{"planted", "planted too", "way"} {
		if err := os.Lchown(in(name), 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"planted", "planted too", "way/file"} {
		if err := write(in(name), "x"); !errors.Is(err, errForeignLink) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, _ := os.ReadFile(in("precious")); string(got) != "precious" {
		t.Errorf("what a link led to: %q", got)
	}
	t.Setenv("SUDO_UID", "65534")
	if err := write(in("planted too"), "x"); err != nil {
		t.Errorf("a link of who called sudo: %v", err)
	}
}
