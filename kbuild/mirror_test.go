package kbuild

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// testMirror gives a directory's mirror, brought up to date.
func testMirror(t *testing.T, cache string, paths ...string) *mirror {
	t.Helper()
	s, err := readSources(paths)
	if err != nil {
		t.Fatal(err)
	}
	m, err := openMirror(t.Context(), cache, s, "/kernel", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.close)
	if err := m.update(s, nil); err != nil {
		t.Fatal(err)
	}
	return m
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, p)
		names = append(names, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

func TestMirrorFollowsTheDirectory(t *testing.T) {
	top, cache := t.TempDir(), t.TempDir()
	dir := filepath.Join(top, "a b$", "m")
	for _, name := range []string{"Makefile", "a.c", "sub/b.c", "blob.o", "../x.h", "../../y.h",
		"a.o", ".a.o.cmd", "a.ko", ".a.ko.cmd", "made.o", ".made.o.cmd", "a.mod", "a.mod.c", "Module.symvers", "modules.order"} {
		writeFile(t, filepath.Join(dir, name), name)
	}
	m := testMirror(t, cache, dir)
	want := []string{".", "Makefile", "a.c", "blob.o", "sub", "sub/b.c"}
	if got := list(t, m.directory); !slices.Equal(got, want) {
		t.Errorf("mirror %q", got)
	}
	if strings.ContainsAny(m.directory, " $") {
		t.Errorf("mirror in %q", m.directory)
	}
	for _, outside := range []string{"../x.h", "../../y.h"} {
		if _, err := os.ReadFile(filepath.Join(m.directory, outside)); err != nil {
			t.Errorf("out of the directory: %v", err)
		}
	}
	m.close()
	writeFile(t, filepath.Join(m.directory, "a.o"), "make's")
	writeFile(t, filepath.Join(dir, "new.c"), "")
	if err := os.Remove(filepath.Join(dir, "a.c")); err != nil {
		t.Fatal(err)
	}
	m = testMirror(t, cache, dir)
	want = []string{".", "Makefile", "a.o", "blob.o", "new.c", "sub", "sub/b.c"}
	if got := list(t, m.directory); !slices.Equal(got, want) {
		t.Errorf("then %q", got)
	}
	m.close()
	writeFile(t, m.unfinished(), "") // as after a kill
	m = testMirror(t, cache, dir)
	if slices.Contains(list(t, m.directory), "a.o") {
		t.Error("kept what may be half of an object")
	}
}

// TestMirrorTellsWhatWasReplaced: make compares times, and a file that was moved over
// another may be older than the object.
func TestMirrorTellsWhatWasReplaced(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	writeFile(t, filepath.Join(dir, "Makefile"), "")
	writeFile(t, filepath.Join(dir, "a.c"), "new")
	old := filepath.Join(dir, "a.orig")
	writeFile(t, old, "old")
	if err := os.Chtimes(old, time.Unix(1e9, 0), time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
	m := testMirror(t, cache, dir)
	m.close()
	before := time.Now()
	if err := os.Rename(old, filepath.Join(dir, "a.c")); err != nil {
		t.Fatal(err)
	}
	m = testMirror(t, cache, dir)
	info, err := os.Lstat(filepath.Join(m.directory, "a.c"))
	if err != nil || info.ModTime().Before(before.Add(-time.Second)) {
		t.Errorf("the link's time is %v, %v", info.ModTime(), err)
	}
}

// TestRenew: what was saved while make ran is newer than all that make has made.
func TestRenew(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"Makefile", "early.c", "late.c"} {
		writeFile(t, filepath.Join(dir, name), "")
	}
	cache := t.TempDir()
	m := testMirror(t, cache, dir)
	time.Sleep(3 * clockStep)
	start := time.Now()
	if m.renew(start) {
		t.Error("nothing has changed")
	}
	writeFile(t, filepath.Join(dir, "late.c"), "changed")
	time.Sleep(3 * clockStep)
	object := filepath.Join(m.directory, "late.o")
	writeFile(t, object, "of what was in it before")
	if !m.renew(start) {
		t.Error("a file has changed")
	}
	m.close()
	m = testMirror(t, cache, dir)
	made, err := os.Lstat(object)
	if err != nil {
		t.Fatal(err)
	}
	for name, newer := range map[string]bool{"early.c": false, "late.c": true} {
		link, err := os.Lstat(filepath.Join(m.directory, name))
		if err != nil || made.ModTime().Before(link.ModTime()) != newer {
			t.Errorf("%s is of %v, the object of %v, %v", name, link.ModTime(), made.ModTime(), err)
		}
	}
}

func TestRulesComeAndGo(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	writeFile(t, filepath.Join(dir, "a.c"), "MODULE_LICENSE")
	m := testMirror(t, cache, dir)
	if text, _ := os.ReadFile(filepath.Join(m.directory, "Kbuild")); string(text) != "obj-m := a.o\n" {
		t.Errorf("rules %q", text)
	}
	m.close()
	writeFile(t, filepath.Join(dir, "Makefile"), "obj-m := b.o\n")
	m = testMirror(t, cache, dir)
	if got := list(t, m.directory); !slices.Equal(got, []string{".", "Makefile", "a.c"}) {
		t.Errorf("with a Makefile: %q", got)
	}
	m.close()
	m = testMirror(t, cache, filepath.Join(dir, "a.c")) // another mirror: rules for the one file
	if got := list(t, m.directory); !slices.Equal(got, []string{".", "Kbuild", "a.c"}) {
		t.Errorf("for a file: %q", got)
	}
}

func TestMirrorWithoutACache(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "a.c"), "MODULE_LICENSE")
	for _, cache := range []string{"", "relative", filepath.Join(dir, "with blank"), "/proc/nosuch"} {
		m := testMirror(t, cache, dir)
		m.close()
		if exists(m.root) {
			t.Errorf("cache %q: left %s", cache, m.root)
		}
	}
}

// TestMirrorLeavesOutItself: a cache in the directory that is built.
func TestMirrorLeavesOutItself(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "Makefile"), "")
	for range 3 {
		m := testMirror(t, filepath.Join(dir, "cache"), dir)
		if got := list(t, m.directory); !slices.Equal(got, []string{".", "Makefile"}) {
			t.Errorf("%q", got)
		}
		m.close()
	}
}

// TestMirrorLeavesOutWhatIsClosed: a directory below the sources that the user cannot list.
func TestMirrorLeavesOutWhatIsClosed(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root can list any directory")
	}
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "Makefile"), "")
	if err := os.Mkdir(filepath.Join(dir, "closed"), 0); err != nil {
		t.Fatal(err)
	}
	m := testMirror(t, t.TempDir(), dir)
	if got := list(t, m.directory); !slices.Equal(got, []string{".", "Makefile", "closed"}) {
		t.Errorf("%q", got)
	}
}

func TestMirrorRefusesAHome(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "Makefile"), "")
	u := &updater{deep: true, seen: maxEntries}
	if err := u.directory(dir, t.TempDir()); err == nil || !strings.Contains(err.Error(), "directory of a module") {
		t.Errorf("took it: %v", err)
	}
}

func TestPruneDropsWhatIsOldAndFree(t *testing.T) {
	cache := t.TempDir()
	old := time.Now().Add(-2 * keepMirrors)
	for _, name := range []string{"old", "held", "new"} {
		writeFile(t, filepath.Join(cache, name, "file"), "")
		writeFile(t, filepath.Join(cache, name+".lock"), "")
		if name != "new" {
			os.Chtimes(filepath.Join(cache, name+".lock"), old, old)
		}
	}
	unlock, err := tryLock(filepath.Join(cache, "held.lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	prune(cache, "current")
	left, _ := filepath.Glob(filepath.Join(cache, "*[^k]"))
	if want := []string{filepath.Join(cache, "held"), filepath.Join(cache, "new")}; !slices.Equal(left, want) {
		t.Errorf("left %q", left)
	}
}

// TestSaysLicense: the word is found wherever it stands, also across the parts that are read.
func TestSaysLicense(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.c")
	for _, before := range []int{0, 100, 64<<10 - 14, 64<<10 - 7, 64 << 10, 200_000} {
		writeFile(t, path, strings.Repeat(" ", before)+"MODULE_LICENSE(\"GPL\");\n")
		if !saysLicense(path) {
			t.Errorf("not found after %d bytes", before)
		}
	}
	for _, text := range []string{"", "MODULE_LICENS", strings.Repeat("MODULE_LICENS ", 10_000)} {
		if writeFile(t, path, text); saysLicense(path) {
			t.Errorf("found in %.20q", text)
		}
	}
}

func TestReadSourcesRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/x.c", "b/y.c", "empty/README", "file.txt", "-x.c", "closed/Makefile", "parts/a.c", "parts/b.c",
		"directory/x.c/y", "rules/Makefile/y"} {
		writeFile(t, filepath.Join(dir, name), "")
	}
	for _, name := range []string{"alike/a-b.c", "alike/a_b.c"} {
		writeFile(t, filepath.Join(dir, name), "MODULE_LICENSE")
	}
	for _, name := range []string{"empty/pipe.c", "a/pipe.c"} { // who reads one waits for ever
		if err := unix.Mkfifo(filepath.Join(dir, name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "closed"), 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(filepath.Join(dir, "closed"), 0o755)
	os.Symlink("loop", filepath.Join(dir, "loop"))
	os.Mkdir(filepath.Join(dir, "dangling"), 0o755)
	os.Symlink("nothing", filepath.Join(dir, "dangling/Makefile"))
	in := func(names ...string) (paths []string) {
		for _, n := range names {
			paths = append(paths, filepath.Join(dir, n))
		}
		return paths
	}
	cases := map[string]struct {
		paths []string
		want  error
	}{
		"a missing file":           {in("none.c"), fs.ErrNotExist},
		"a missing second file":    {in("a/x.c", "a/none.c"), fs.ErrNotExist},
		"nothing in a directory":   {in("empty"), ErrNoSources},
		"parts of what":            {in("parts"), ErrNoSources},
		"two directories":          {in("a", "b"), ErrBadTarget},
		"files of two directories": {in("a/x.c", "b/y.c"), ErrBadTarget},
		"one file twice":           {in("a/x.c", "a/x.c"), ErrBadTarget},
		"another kind of file":     {in("file.txt"), ErrBadTarget},
		"a dash in front":          {in("-x.c"), ErrBadTarget},
		"a device":                 {[]string{"/dev/null"}, ErrBadTarget},
		"a loop":                   {in("loop"), nil},
		"no name":                  {[]string{""}, ErrBadTarget},
		"a pipe":                   {in("a/pipe.c"), ErrBadTarget},
		"a directory like a file":  {in("directory"), ErrNoSources},
		"rules in a directory":     {in("rules"), ErrBadTarget},
		"rules in nothing":         {in("dangling"), fs.ErrNotExist},
		"two of one name":          {in("alike/a-b.c", "alike/a_b.c"), ErrBadTarget},
		"directory of one name":    {in("alike"), ErrBadTarget},
	}
	if os.Geteuid() != 0 {
		cases["a closed directory"] = struct {
			paths []string
			want  error
		}{in("closed"), fs.ErrPermission}
	}
	for name, c := range cases {
		s, err := readSources(c.paths)
		if err == nil {
			t.Errorf("%s: took %+v", name, s)
			continue
		}
		if c.want != nil && !errors.Is(err, c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %v in one line", name, err, c.want)
		}
	}
}
