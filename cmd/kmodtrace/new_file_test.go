package main

import (
	"errors"
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
	for _, name := range []string{"folder", "other"} {
		if err := os.Mkdir(in(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	link("folder/target", "dangling")
	link("dangling", "twice")
	link("folder/../folder", "around")
	link("round", "round")
	write := func(path, text string) error {
		f, err := createFile(path)
		if err != nil {
			return err
		}
		defer f.abandon()
		return f.commit([]byte(text))
	}
	for _, name := range []string{"dangling", "twice", "around/target", "folder/./../folder//target"} {
		if err := write(in(name), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := os.ReadFile(in("folder/target")); err != nil || string(got) != name {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"dangling", "twice", "around"} {
		if info, err := os.Lstat(in(name)); err != nil || info.Mode()&os.ModeSymlink == 0 {
			t.Errorf("the link %s is gone: %v", name, err)
		}
	}
	for name, want := range map[string]error{"round": unix.ELOOP, "none/file": unix.ENOENT, "folder/target/x": unix.ENOTDIR, "": unix.ENOENT} {
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
	r := new(runReport)
	var err error
	if r.unbegun, err = createFile(path); err != nil {
		t.Fatal(err)
	}
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); string(got) != "old" {
		t.Errorf("%q", got)
	}
	r = new(runReport)
	if r.unbegun, err = createFile(path); err != nil {
		t.Fatal(err)
	}
	if err := r.begin(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.file.WriteString("new"); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); string(got) != "new" {
		t.Errorf("while it is written: %q", got)
	}
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(other); string(got) != "old" {
		t.Errorf("another name of what was there: %q", got)
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("left in the folder: %v", left)
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
