package place

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// somebody is a user who is neither root nor who runs the tests.
const somebody = 54321

// must ends a test whose world cannot be made.
func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// world is a directory with a file, and what others might have made of them.
func TestCheck(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give files to others")
	}
	for _, c := range []struct {
		name  string
		make  func(t *testing.T, dir string) (path string)
		rules Rules
		want  string // empty: safe
	}{
		{"a file that is not there", func(*testing.T, string) string { return "new" }, Rules{}, ""},
		{"our own file", func(t *testing.T, dir string) string { return file(t, dir, "f") }, Rules{}, ""},
		{"in a directory of ours", func(t *testing.T, dir string) string { return file(t, directory(t, dir, "sub", 0o755, 0, 0), "f") }, Rules{}, ""},
		{"no directory", func(*testing.T, string) string { return "no/f" }, Rules{}, "no such file"},
		{"a file of somebody's", func(t *testing.T, dir string) string {
			path := file(t, dir, "f")
			must(t, os.Chown(path, somebody, 0))
			return path
		}, Rules{Sticky: true, SystemGroups: true}, "user 54321 owns it"},
		{"a file that all may write", func(t *testing.T, dir string) string {
			path := file(t, dir, "f")
			must(t, os.Chmod(path, 0o666))
			return path
		}, Rules{}, "everybody may write it"},
		{"a link", func(t *testing.T, dir string) string {
			must(t, os.Symlink(file(t, dir, "f"), filepath.Join(dir, "l")))
			return "l"
		}, Rules{}, "symbolic link"},
		{"a link to nothing", func(t *testing.T, dir string) string {
			must(t, os.Symlink("/nowhere/at/all", filepath.Join(dir, "l")))
			return "l"
		}, Rules{}, "symbolic link"},
		{"a hard link", func(t *testing.T, dir string) string {
			must(t, os.Link(file(t, dir, "f"), filepath.Join(dir, "l")))
			return "l"
		}, Rules{}, "hard link"},
		{"a FIFO", func(t *testing.T, dir string) string {
			must(t, unix.Mkfifo(filepath.Join(dir, "p"), 0o600))
			return "p"
		}, Rules{}, "not a regular file"},
		{"a directory", func(t *testing.T, dir string) string { directory(t, dir, "d", 0o755, 0, 0); return "d" }, Rules{}, "not a regular file"},
		{"a directory of somebody's", func(t *testing.T, dir string) string {
			return file(t, directory(t, dir, "sub", 0o755, somebody, 0), "f")
		}, Rules{Sticky: true}, "user 54321 owns this directory"},
		{"above a directory of ours one of somebody's", func(t *testing.T, dir string) string {
			return file(t, directory(t, directory(t, dir, "theirs", 0o755, somebody, 0), "ours", 0o700, 0, 0), "f")
		}, Rules{Sticky: true}, "user 54321 owns this directory"},
		{"a directory that all may write", func(t *testing.T, dir string) string {
			return file(t, directory(t, dir, "sub", 0o777, 0, 0), "f")
		}, Rules{Sticky: true}, "everybody may write this directory"},
		{"above, one that all may write", func(t *testing.T, dir string) string {
			return file(t, directory(t, directory(t, dir, "all", 0o777, 0, 0), "ours", 0o700, 0, 0), "f")
		}, Rules{Sticky: true}, "everybody may write this directory"},
		{"one that a group may write", func(t *testing.T, dir string) string {
			return file(t, directory(t, dir, "sub", 0o775, 0, 1001), "f")
		}, Rules{SystemGroups: true}, "group 1001 may write"},
		{"one that a system group may write", func(t *testing.T, dir string) string {
			return file(t, directory(t, dir, "sub", 0o775, 0, 104), "f")
		}, Rules{}, "group 104 may write"},
		{"one that a system group may write, accepted", func(t *testing.T, dir string) string {
			return file(t, directory(t, dir, "sub", 0o775, 0, 104), "f")
		}, Rules{SystemGroups: true}, ""},
		{"one that root's group may write", func(t *testing.T, dir string) string {
			return file(t, directory(t, dir, "sub", 0o775, 0, 0), "f")
		}, Rules{}, ""},
		{"in a sticky one", func(t *testing.T, dir string) string {
			return file(t, directory(t, dir, "tmp", 0o777|os.ModeSticky, 0, 0), "f")
		}, Rules{}, "everybody may make files"},
		{"in a sticky one, accepted", func(t *testing.T, dir string) string {
			return file(t, directory(t, dir, "tmp", 0o777|os.ModeSticky, 0, 0), "f")
		}, Rules{Sticky: true}, ""},
		{"below a sticky one", func(t *testing.T, dir string) string {
			return file(t, directory(t, directory(t, dir, "tmp", 0o777|os.ModeSticky, 0, 0), "ours", 0o700, 0, 0), "f")
		}, Rules{}, ""},
		{"below a sticky one, in somebody's", func(t *testing.T, dir string) string {
			return file(t, directory(t, directory(t, dir, "tmp", 0o777|os.ModeSticky, 0, 0), "theirs", 0o700, somebody, 0), "f")
		}, Rules{Sticky: true}, "user 54321 owns this directory"},
		{"by a link of ours", func(t *testing.T, dir string) string {
			file(t, directory(t, dir, "sub", 0o755, 0, 0), "f")
			must(t, os.Symlink("sub", filepath.Join(dir, "way")))
			return "way/f"
		}, Rules{}, ""},
		{"by a link of ours to a bad place", func(t *testing.T, dir string) string {
			file(t, directory(t, dir, "sub", 0o777, 0, 0), "f")
			must(t, os.Symlink(filepath.Join(dir, "sub"), filepath.Join(dir, "way")))
			return "way/f"
		}, Rules{Sticky: true}, "everybody may write this directory"},
		{"by somebody's link in a sticky directory", func(t *testing.T, dir string) string {
			file(t, directory(t, dir, "sub", 0o755, 0, 0), "f")
			way := filepath.Join(directory(t, dir, "tmp", 0o777|os.ModeSticky, 0, 0), "way")
			must(t, os.Symlink(filepath.Join(dir, "sub"), way), os.Lchown(way, somebody, 0))
			return "tmp/way/f"
		}, Rules{Sticky: true}, "user 54321 owns this link"},
		{"by links in a circle", func(t *testing.T, dir string) string {
			must(t, os.Symlink("b", filepath.Join(dir, "a")), os.Symlink("a", filepath.Join(dir, "b")))
			return "a/f"
		}, Rules{}, "too many levels"},
		{"back up out of somebody's", func(t *testing.T, dir string) string {
			directory(t, dir, "theirs", 0o755, somebody, 0)
			must(t, os.Symlink("theirs/..", filepath.Join(dir, "way")))
			file(t, dir, "f")
			return "way/f"
		}, Rules{}, "user 54321 owns this directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := c.make(t, dir)
			if !filepath.IsAbs(path) {
				path = dir + "/" + path
			}
			err := c.rules.Check(path)
			expect(t, "check", err, c.want)
			f, err := c.rules.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
			expect(t, "open", err, c.want)
			if err == nil {
				f.Close()
			}
		})
	}
}

func expect(t *testing.T, what string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case want != "" && err == nil:
		t.Errorf("%s: accepted", what)
	case want != "" && !strings.Contains(err.Error(), want) && !errors.Is(err, unix.EISDIR):
		t.Errorf("%s: %v, want %q", what, err, want)
	}
}

func file(t *testing.T, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	must(t, os.WriteFile(path, []byte("was there"), 0o600))
	return path
}

func directory(t *testing.T, dir, name string, mode os.FileMode, uid, gid int) string {
	t.Helper()
	path := filepath.Join(dir, name)
	must(t, os.Mkdir(path, 0o700), os.Chown(path, uid, gid), os.Chmod(path, mode))
	return path
}

// What is not safe is not changed either, though it was to be made empty.
func TestOpenFileChangesNothingUnsafe(t *testing.T) {
	dir := t.TempDir()
	victim := file(t, dir, "victim")
	must(t, os.Symlink(victim, filepath.Join(dir, "link")), os.Link(victim, filepath.Join(dir, "hard")))
	for _, name := range []string{"link", "hard"} {
		if _, err := (Rules{}).OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); !errors.Is(err, ErrUnsafe) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if content, err := os.ReadFile(victim); err != nil || string(content) != "was there" {
		t.Errorf("%q, %v", content, err)
	}
	f, err := (Rules{}).OpenFile(filepath.Join(dir, "new"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := (Rules{}).OpenFile(filepath.Join(dir, "new"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640); !errors.Is(err, os.ErrExist) {
		t.Errorf("made twice: %v", err)
	}
}
