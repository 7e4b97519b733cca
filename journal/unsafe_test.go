package journal

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A journal that others could replace, or a part of it, is not written, and nothing of
// theirs is changed. That it can be read does not change.
func TestOpenRefusesUnsafe(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give files to others")
	}
	const somebody = 54321
	for name, c := range map[string]struct {
		spoil func(dir, path string) error
		says  string
	}{
		"a directory that all may write":  {func(dir, _ string) error { return os.Chmod(dir, 0o777) }, "everybody may write this directory"},
		"a sticky one":                    {func(dir, _ string) error { return os.Chmod(dir, 0o777|os.ModeSticky) }, "everybody may make files"},
		"a directory that a group writes": {func(dir, _ string) error { return errors.Join(os.Chown(dir, 0, 1001), os.Chmod(dir, 0o775)) }, "group 1001 may write"},
		"somebody's directory":            {func(dir, _ string) error { return os.Chown(dir, somebody, 0) }, "owns this directory"},
		"above it, somebody's":            {func(dir, _ string) error { return os.Chown(filepath.Dir(dir), somebody, 0) }, "owns this directory"},
		"somebody's file":                 {func(_, path string) error { return os.Chown(path, somebody, 0) }, "owns it"},
		"a hard link":                     {func(dir, path string) error { return os.Link(path, filepath.Join(dir, "other")) }, "hard link"},
		"somebody's lock":                 {func(_, path string) error { return os.Chown(path+"-lock", somebody, 0) }, "owns it"},
		"a lock that is a link": {func(dir, path string) error {
			victim := filepath.Join(dir, "victim")
			return errors.Join(os.WriteFile(victim, []byte("was there"), 0o600), os.Remove(path+"-lock"), os.Symlink(victim, path+"-lock"))
		}, "symbolic link"},
		"a lock that is a FIFO": {func(_, path string) error {
			return errors.Join(os.Remove(path+"-lock"), unix.Mkfifo(path+"-lock", 0o600))
		}, "not a regular file"},
		"a lock with another name": {func(dir, path string) error {
			return errors.Join(os.WriteFile(filepath.Join(dir, "victim"), []byte("was there"), 0o600), os.Remove(path+"-lock"), os.Link(filepath.Join(dir, "victim"), path+"-lock"))
		}, "hard link"},
		"a log that is a link": {func(dir, path string) error { return os.Symlink(filepath.Join(dir, "victim"), path+"-wal") }, "symbolic link"},
		"somebody's index of the log": {func(_, path string) error {
			return errors.Join(os.WriteFile(path+"-shm", nil, 0o600), os.Chown(path+"-shm", somebody, 0))
		}, "owns it"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "above", "dir")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "journal.db")
			j := reopen(t, path)
			add(t, j, load(1, "m"))
			j.Close()
			if err := c.spoil(dir, path); err != nil {
				t.Fatal(err)
			}
			_, err := Open(path, nil)
			check(t, "open", err, ErrUnsafe, c.says)
			if _, err := SetAside(path, time.Now()); !errors.Is(err, ErrUnsafe) && (filepath.Base(name) == name) && lockIsUnsafe(name) {
				t.Errorf("set aside: %v", err)
			}
			if content, err := os.ReadFile(filepath.Join(dir, "victim")); err == nil && string(content) != "was there" {
				t.Errorf("the victim has %q", content)
			}
		})
	}
}

func lockIsUnsafe(name string) bool {
	return name == "somebody's lock" || name == "a lock that is a link" || name == "a lock with another name"
}
