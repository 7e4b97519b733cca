package journal

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// mounted is a small file system of its own.
func mounted(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, strings.Trim("mode=0755,"+options, ",")); err != nil {
		t.Skipf("a file system of the test's own cannot be mounted: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func TestDiskFull(t *testing.T) {
	dir := mounted(t, "size=2m")
	j := reopen(t, filepath.Join(dir, "journal.db"))
	defer j.Close()
	kept, full := 0, error(nil)
	for full == nil && kept < 10000 {
		a, b := load(2*kept, "m"), load(2*kept+1, "m")
		a.Body, b.Body = bytes.Repeat([]byte("x"), 3000), bytes.Repeat([]byte("y"), 3000)
		if _, full = j.Append(t.Context(), a, b); full == nil {
			kept++
		}
	}
	check(t, "append to a full disk", full, ErrFull, "no space left")
	for range 3 {
		_, err := j.Append(t.Context(), load(99998, "m"), load(99999, string(bytes.Repeat([]byte("z"), MaxText/2))))
		check(t, "append again", err, ErrFull, "no space left")
	}
	if got := all(t, j.Reader); len(got) != 2*kept {
		t.Errorf("%d records of %d", len(got), 2*kept)
	}
	verify(t, j.Reader)
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	add(t, j, load(99998, "m"))
	if report := verify(t, j.Reader); report.Records != int64(2*kept+1) {
		t.Errorf("%+v", report)
	}
	j = reopenAfter(t, j)
	verify(t, j.Reader)
}

// No room even for a new one.
func TestDiskFullAtOpen(t *testing.T) {
	dir := mounted(t, "size=64k")
	if err := os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 52<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "journal.db")
	_, err := Open(path, nil)
	check(t, "open", err, ErrFull, "no space left")
	os.Remove(filepath.Join(dir, "ballast"))
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	j := reopen(t, path)
	defer j.Close()
	if !j.New() {
		t.Error("what could not be made is not new")
	}
	add(t, j, load(1, "m"))
}

// A file system that cannot be written: questions are answered, of a journal that was
// closed and of one that was copied with its log; writing is refused.
func TestReadOnlyFileSystem(t *testing.T) {
	dir := mounted(t, "")
	closed, copied := filepath.Join(dir, "closed.db"), filepath.Join(dir, "copied.db")
	j := reopen(t, closed)
	add(t, j, loads(30)...)
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(copyable(t, closed+suffix))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(copied+suffix, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{closed, copied} {
		r, err := OpenReadOnly(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := all(t, r); len(got) != 30 {
			t.Errorf("%s: %d records", path, len(got))
		}
		verify(t, r)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		_, err = Open(path, nil)
		check(t, "open", err, ErrReadOnly, "read-only file system")
	}
}

// copyable gives a copy by another process: opening the file in this one would drop the
// writer's locks.
func copyable(t *testing.T, path string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if out, err := exec.Command("cp", path, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return to
}

// Reading a journal that nobody writes changes nothing in its directory.
func TestReadingLeavesNoTrace(t *testing.T) {
	j := make1(t)
	add(t, j, loads(30)...)
	j.Close()
	names := func() (names []string) {
		entries, err := os.ReadDir(filepath.Dir(j.Path()))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			info, _ := e.Info()
			names = append(names, fmt.Sprint(e.Name(), info.Size(), info.ModTime()))
		}
		return names
	}
	before := names()
	r, err := OpenReadOnly(j.Path())
	if err != nil {
		t.Fatal(err)
	}
	verify(t, r)
	if _, err := r.LoadedAt(t.Context(), begin); err != nil {
		t.Error(err)
	}
	r.Close()
	if after := names(); !slices.Equal(before, after) {
		t.Errorf("before: %q\nafter: %q", before, after)
	}
}
