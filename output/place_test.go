package output

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/place"
)

// fileOutput is a file output with a small file.
func fileOutput(t *testing.T, path string, around Surroundings) *file {
	t.Helper()
	o := newFile("file", path, 1000, 0, host{}.lines(plain))
	o.around = around
	t.Cleanup(func() { _ = o.Close() })
	return o
}

// TestFilePlaces: an output does not write where others decide what is written: through a
// link, or in a directory that everybody may write.
func TestFilePlaces(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	for _, err := range []error{
		os.Mkdir(open, 0o700), os.Chmod(open, 0o777), os.WriteFile(filepath.Join(dir, "victim"), []byte("before\n"), 0o600),
		os.Symlink(filepath.Join(dir, "victim"), filepath.Join(dir, "link")), os.Mkdir(filepath.Join(open, "below"), 0o700),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{
		filepath.Join(open, "records.jsonl"), filepath.Join(open, "new", "records.jsonl"), filepath.Join(open, "below", "records.jsonl"), filepath.Join(dir, "link"),
	} {
		o := fileOutput(t, path, Surroundings{})
		if err := o.Send(t.Context(), numbered(1, 1)); !errors.Is(err, place.ErrUnsafe) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if text := readFile(t, filepath.Join(dir, "victim")); string(text) != "before\n" {
		t.Errorf("%q", text)
	}
	if _, err := os.Stat(filepath.Join(open, "new")); err == nil {
		t.Error("a directory was made where it is not safe")
	}
}

// TestFileOfOthers: an output does not write a file that has another purpose, whatever name
// leads to it.
func TestFileOfOthers(t *testing.T) {
	dir := t.TempDir()
	journal := filepath.Join(dir, "journal.db")
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(journal, []byte("SQLite"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(journal, other); err != nil {
		t.Fatal(err)
	}
	o := fileOutput(t, other, Surroundings{Others: []string{filepath.Join(dir, "none"), journal}})
	if err := o.Send(t.Context(), numbered(1, 1)); err == nil || !strings.Contains(err.Error(), "the same file as") {
		t.Error(err)
	}
	if text := readFile(t, journal); string(text) != "SQLite" {
		t.Errorf("%q", text)
	}
}

// TestFileRotatesUnprivileged: who may not give a file to its group loses nothing when the
// file is moved aside, keeps its mode, says once what it could not do, and keeps the group
// where the directory hands it on.
func TestFileRotatesUnprivileged(t *testing.T) {
	const inside = "KMODTRACE_UNPRIVILEGED_DIR"
	if dir := os.Getenv(inside); dir != "" {
		rotateUnprivileged(t, dir)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("makes files of several owners: must be root")
	}
	const uid, group = 65534, 4321
	for name, mode := range map[string]os.FileMode{"plain": 0o750, "setgid": 0o750 | os.ModeSetgid} {
		dir, err := os.MkdirTemp("/var/tmp", "kmodtrace-test-") // which others may enter
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		program := filepath.Join(dir, "test")
		logs := filepath.Join(dir, "logs")
		path := filepath.Join(logs, "records.jsonl")
		self, err := os.ReadFile("/proc/self/exe")
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{
			os.Chmod(dir, 0o755), os.WriteFile(program, self, 0o755), os.Mkdir(logs, 0o750),
			os.WriteFile(path, nil, 0o600), os.Chown(path, uid, group), os.Chmod(path, 0o640), os.Chown(logs, uid, group), os.Chmod(logs, mode),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.CommandContext(t.Context(), program, "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"="+logs)
		cmd.Dir = dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func rotateUnprivileged(t *testing.T, dir string) {
	path := filepath.Join(dir, "records.jsonl")
	var warned []string
	o := fileOutput(t, path, Surroundings{Warn: func(text string) { warned = append(warned, text) }})
	send(t, o, numbered(1, 30))
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "records*.jsonl"))
	if err != nil || len(names) < 5 {
		t.Fatal(names, err)
	}
	slices.Sort(names)
	var got []byte
	for _, name := range names {
		got = append(got, readFile(t, name)...)
		if info, _ := os.Stat(name); info.Mode().Perm() != 0o640 {
			t.Errorf("mode %v of %s", info.Mode(), name)
		}
	}
	if n := len(seqs(t, got)); n != 30 || bytes.Count(got, []byte("\n")) != 30 {
		t.Errorf("%d of 30", n)
	}
	hands := info.Mode()&os.ModeSetgid != 0
	for _, name := range names[1:] { // the first had it from before
		info, _ := os.Stat(name)
		if kept := info.Sys().(*syscall.Stat_t).Gid == 4321; kept != hands {
			t.Errorf("%s has group %d", name, info.Sys().(*syscall.Stat_t).Gid)
		}
	}
	if want := map[bool]int{true: 0, false: 1}[hands]; len(warned) != want {
		t.Errorf("it warned %q", warned)
	}
}
