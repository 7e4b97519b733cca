package kbuild

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/lazyregexp"
)

// maxEntries bounds the entries of a module's directory: a user who names the home directory by
// mistake gets an error.
const maxEntries = 20_000

// update makes the mirror show the sources as they are now.
func (m *mirror) update(s *sources, symbols []string) error {
	if exists(m.unfinished()) { // what lies there may be half written, and look finished
		if err := os.RemoveAll(m.root); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(m.directory, 0o755); err != nil {
		return err
	}
	if err := m.mirrorParents(s.directory); err != nil {
		return err
	}
	u := &updater{own: s.rules, deep: len(s.files) == 0, skip: filepath.Dir(m.root)}
	if err := u.directory(s.directory, m.directory); err != nil {
		return err
	}
	if err := settleRules(filepath.Join(m.directory, "Kbuild"), s.rules); err != nil {
		return err
	}
	return m.linkSymbols(symbols)
}

func (m *mirror) unfinished() string { return filepath.Join(m.root, "unfinished") }

// mirrorParents links what lies beside each directory on the way to the sources. A
// directory that cannot be listed is left out, with what a source may want from there.
func (m *mirror) mirrorParents(directory string) error {
	for from, to := directory, m.directory; from != "/"; {
		down := filepath.Base(to)
		from, to = filepath.Dir(from), filepath.Dir(to)
		entries, err := os.ReadDir(from)
		if err != nil || len(entries) > maxEntries {
			continue
		}
		want := map[string]target{}
		for _, entry := range entries {
			if entry.Name() != down { // of a directory nothing is asked: it may be on a machine that does not answer
				want[entry.Name()] = target{filepath.Join(from, entry.Name()), entry.Type().IsRegular()}
			}
		}
		if err := settleLinks(to, want, down); err != nil {
			return err
		}
	}
	return nil
}

// linkSymbols links the Module.symvers files by names without blanks.
func (m *mirror) linkSymbols(symbols []string) error {
	dir := filepath.Join(m.root, "symbols")
	want := map[string]target{}
	for i, name := range symbols {
		path, err := filepath.Abs(name)
		if err != nil {
			return err
		}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			path = filepath.Join(path, "Module.symvers")
		}
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return fmt.Errorf("symbols %s: %w", name, plainPathError("", "", err).(*Error).Err)
		case !info.Mode().IsRegular(): // modpost would read a device without end
			return fmt.Errorf("symbols %s: no regular file", name)
		}
		want[fmt.Sprintf("%d.symvers", i)] = target{path, true}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return settleLinks(dir, want, "")
}

func (m *mirror) symbols() []string {
	found, _ := filepath.Glob(filepath.Join(m.root, "symbols", "*.symvers"))
	return found
}

// updater brings mirrored directories up to date.
type updater struct {
	own  string // rules that stand for the directory's
	deep bool   // mirror directories in the directory too, for objects are made in them
	skip string // the directory of all mirrors: a mirror of itself would grow for ever
	seen int
}

func (u *updater) directory(from, to string) error {
	entries, err := os.ReadDir(from)
	if errors.Is(err, os.ErrPermission) && u.seen > 0 {
		return nil // below the sources: whoever wants something from there will say so
	}
	if err != nil {
		return err
	}
	if u.seen += len(entries); u.seen > maxEntries {
		return fmt.Errorf("more than %d files: is this the directory of a module?", maxEntries)
	}
	names := map[string]bool{}
	for _, entry := range entries {
		names[entry.Name()] = true
	}
	want := map[string]target{}
	var directories []string
	for _, entry := range entries {
		name := entry.Name()
		switch {
		case made(name, names), u.own != "" && (name == "Kbuild" || name == "Makefile"):
		case entry.IsDir() && filepath.Join(from, name) == u.skip:
		case entry.IsDir() && u.deep && !strings.HasPrefix(name, ".") && !strings.ContainsFunc(name, unsafeRune):
			directories = append(directories, name)
		default:
			want[name] = target{filepath.Join(from, name), !entry.IsDir()}
		}
	}
	if err := settleLinks(to, want, ""); err != nil {
		return err
	}
	u.own = "" // in the topmost directory only
	for _, name := range directories {
		inner := filepath.Join(to, name)
		if err := os.MkdirAll(inner, 0o755); err != nil {
			return err
		}
		if err := u.directory(filepath.Join(from, name), inner); err != nil {
			return err
		}
	}
	return nil
}

// madeName is what kbuild makes and nobody writes.
var madeName = lazyregexp.New(`^(.*\.(ko|mod|mod\.c|mod\.o|o\.d)|modules\.order|Module\.symvers|\.tmp_versions|\.tmp_.*|built-in\.a|\..*\.cmd)$`)

// made tells what an earlier build left in the user's directory. An object that nobody can have
// made there from a source is a part that came without one.
func made(name string, beside map[string]bool) bool {
	base, object := strings.CutSuffix(name, ".o")
	switch {
	case madeName.MatchString(name), beside["."+name+".cmd"]:
		return true
	case object:
		return slices.ContainsFunc([]string{".c", ".S", ".rs"}, func(ext string) bool { return beside[base+ext] })
	}
	return false
}

// target is where a link leads.
type target struct {
	path string
	file bool // whose times matter
}

// settleLinks makes the links of a directory those that are wanted. Anything but a link is
// make's, or the directory that leads to the sources, and stays.
//
// A link is as new as the last change of its target's inode: make -L takes its time for the
// file's own when that is older. So a file that was moved over another is new, though it be old.
func settleLinks(dir string, want map[string]target, keep string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if _, ok := want[entry.Name()]; !ok && entry.Name() != keep && entry.Type()&os.ModeSymlink != 0 {
			if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	for name, to := range want {
		if err := settleLink(filepath.Join(dir, name), to); err != nil {
			return err
		}
	}
	return nil
}

func settleLink(link string, to target) error {
	if old, err := os.Readlink(link); err != nil || old != to.path {
		if err := os.RemoveAll(link); err != nil {
			return err
		}
		if err := os.Symlink(to.path, link); err != nil {
			return err
		}
	}
	var file, own unix.Stat_t
	if !to.file || unix.Stat(to.path, &file) != nil || unix.Lstat(link, &own) != nil {
		return nil // a link to nothing; whoever wants it will say so
	}
	if own.Mtim.Nano() >= file.Ctim.Nano() {
		return nil
	}
	return setLinkTime(link, file.Ctim)
}

func setLinkTime(link string, when unix.Timespec) error {
	return unix.UtimesNanoAt(unix.AT_FDCWD, link, []unix.Timespec{when, when}, unix.AT_SYMLINK_NOFOLLOW)
}

// clockStep is how much a file's time may be behind the clock.
const clockStep = 10 * time.Millisecond

// renew gives the links to files that changed while make ran the time of now, and tells
// whether there are any: what was made of them may be of what was in them before, and looks newer.
func (m *mirror) renew(start time.Time) (changed bool) {
	paths, _ := m.files()
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err != nil || info.Mode()&os.ModeSymlink == 0 || stampOf(path).Changed < start.Add(-clockStep).UnixNano() {
			continue
		}
		changed = true
		_ = setLinkTime(path, unix.NsecToTimespec(time.Now().UnixNano()))
	}
	return changed
}

// settleRules makes the file hold the rules, and leaves it alone when it does. Without rules it
// is the user's, linked, or not there.
func settleRules(path, rules string) error {
	if old, err := os.ReadFile(path); err == nil && string(old) == rules {
		return nil
	}
	info, err := os.Lstat(path)
	if err == nil && (rules != "" || info.Mode().IsRegular()) {
		err = os.Remove(path)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if rules == "" {
		return nil
	}
	return os.WriteFile(path, []byte(rules), 0o644)
}
