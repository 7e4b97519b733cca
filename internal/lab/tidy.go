package lab

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Removed is what was removed of the cache, or what was left although it should go.
type Removed struct {
	Name string // below the cache
	Size int64  // bytes on the disk
	Why  string
}

// tidy removes what was used least recently from the directory dir, until the rest takes no more
// than most bytes on the disk. Each file or directory in dir is removed as a whole or not at all,
// and stays while somebody uses it (see use) or makes it. Nothing outside dir is touched.
func tidy(dir string, most int64) ([]Removed, error) {
	c, err := openCleaner(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer c.root.Close()
	err = errors.Join(c.removeHalves("*"), c.removeOldest([]string{"*"}, most))
	c.removeLocks("*")
	return c.removed, err
}

// cleaner removes things below one directory. [os.Root] sees to it that no link leads it out.
type cleaner struct {
	root    *os.Root
	trusted []uint32 // whose files it removes
	removed []Removed
	kept    []Removed
}

func openCleaner(dir string) (*cleaner, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("clean: %w", err)
	}
	return &cleaner{root: root, trusted: trustedUsers()}, nil
}

// entry is a file or directory that is removed as a whole.
type entry struct {
	name string
	used time.Time
	size int64
}

// names lists what matches the patterns, but for locks and what is half-written. What cannot
// be read matches nothing.
func (c *cleaner) names(patterns ...string) []string {
	var names []string
	for _, pattern := range patterns {
		found, _ := fs.Glob(c.root.FS(), pattern) // the patterns are ours
		for _, name := range found {
			base := path.Base(name)
			if !strings.HasPrefix(base, ".") && !strings.HasSuffix(base, lockSuffix) && !strings.HasSuffix(base, useSuffix) {
				names = append(names, name)
			}
		}
	}
	return names
}

// removeOldest removes the least recently used of what matches, until the rest takes no more
// than most bytes.
func (c *cleaner) removeOldest(patterns []string, most int64) error {
	var entries []entry
	sum := int64(0)
	for _, name := range c.names(patterns...) {
		e := entry{name: name, used: c.lastUse(name), size: c.size(name)}
		entries = append(entries, e)
		sum += e.size
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return a.used.Compare(b.used) })
	var errs []error
	for _, e := range entries {
		if sum <= most {
			break
		}
		gone, err := c.remove(e.name, "used least recently, on "+e.used.Format(time.DateOnly))
		errs = append(errs, err)
		if gone {
			sum -= e.size
		}
	}
	return errors.Join(errs...)
}

// removeHalves removes what killed runs left half-written where the patterns match.
func (c *cleaner) removeHalves(patterns ...string) error {
	const why = "half-written by a run that was killed"
	var errs []error
	for _, pattern := range patterns {
		found, _ := fs.Glob(c.root.FS(), path.Join(path.Dir(pattern), ".*"))
		for _, name := range found {
			dir, base := path.Split(name)
			target := base
			for _, prefix := range halfPrefixes {
				target = strings.TrimPrefix(target, prefix)
			}
			if target == base {
				continue // not the lab's
			}
			held := dir + target
			if target == "headers" { // a kernel's, fetched under the kernel's lock
				held = path.Dir(name)
			}
			if strings.HasPrefix(base, goneSuffix) || c.lastUse(name).Before(time.Now().Add(-halfAge)) || c.isDir(name) {
				_, err := c.removeHeld(name, held, why)
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// removeLocks removes the locks, where the patterns match, of what is gone and nobody makes.
func (c *cleaner) removeLocks(patterns ...string) {
	for _, pattern := range patterns {
		for _, suffix := range []string{lockSuffix, useSuffix} {
			found, _ := fs.Glob(c.root.FS(), pattern+suffix)
			for _, name := range found {
				of := strings.TrimSuffix(name, suffix)
				if _, err := c.root.Lstat(of); path.Base(of) == "." || !errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if release, err := c.claim(of); err == nil {
					release()
				}
			}
		}
	}
}

// halfPrefixes begin the names of what is being written; what follows is what it becomes, whose
// lock its writer holds. Files have no lock: they are written in a moment.
var halfPrefixes = []string{".fetch-", ".build-", ".variants-", ".new-", ".verdict-", goneSuffix}

const (
	goneSuffix = ".gone-" // begins the name of what is being removed
	halfAge    = time.Hour
)

func (c *cleaner) isDir(name string) bool {
	info, err := c.root.Lstat(name)
	return err == nil && info.IsDir()
}

// remove removes one file or directory, and says whether it is gone. What is in use is kept.
func (c *cleaner) remove(name, why string) (gone bool, err error) {
	return c.removeHeld(name, name, why)
}

// removeHeld removes name while it holds the locks of held.
func (c *cleaner) removeHeld(name, held, why string) (gone bool, err error) {
	info, err := c.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // somebody else removed it
	}
	if err != nil {
		return false, fmt.Errorf("clean: %w", err)
	}
	r := Removed{Name: name, Size: c.size(name), Why: why}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && !slices.Contains(c.trusted, st.Uid) {
		r.Why = fmt.Sprintf("belongs to the user %d", st.Uid)
		c.kept = append(c.kept, r)
		return false, nil
	}
	release, err := c.claim(held)
	if errors.Is(err, unix.EWOULDBLOCK) {
		r.Why = "in use"
		c.kept = append(c.kept, r)
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("clean %s: %w", name, err)
	}
	defer release()
	// Under another name first: nobody may find a part of it.
	away := path.Join(path.Dir(name), goneSuffix+rand.Text())
	err = c.root.Rename(name, away)
	if err == nil {
		err = c.root.RemoveAll(away)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("clean: %w", err)
	}
	c.removed = append(c.removed, r)
	return true, nil
}

// claim takes a directory's locks, or fails with EWOULDBLOCK where somebody has one. release
// removes those that no directory is left for.
func (c *cleaner) claim(name string) (release func(), err error) {
	locks := map[string]*os.File{}
	release = func() {
		_, err := c.root.Lstat(name)
		for lock, f := range locks {
			if errors.Is(err, fs.ErrNotExist) {
				_ = c.root.Remove(lock) // it can stay
			}
			f.Close()
		}
	}
	for _, lock := range locksOf(name) {
		f, err := c.root.OpenFile(lock, os.O_CREATE|os.O_RDWR, 0o644)
		if err == nil {
			if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
				f.Close()
			}
		}
		if err != nil {
			release()
			return nil, err
		}
		locks[lock] = f
	}
	return release, nil
}

// locksOf names the locks of a file or directory.
func locksOf(name string) []string {
	if name == "apt" {
		return []string{"apt/lock"}
	}
	return []string{name + lockSuffix, name + useSuffix}
}

// lastUse is when a directory was last used, or made.
func (c *cleaner) lastUse(name string) time.Time {
	for _, of := range []string{name + useSuffix, name} {
		if info, err := c.root.Lstat(of); err == nil {
			return info.ModTime()
		}
	}
	return time.Time{}
}

// size is what a file or directory takes on the disk. What vanishes meanwhile takes nothing.
func (c *cleaner) size(name string) (sum int64) {
	_ = fs.WalkDir(c.root.FS(), name, func(at string, _ fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := c.root.Lstat(at); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				sum += st.Blocks * 512
			}
		}
		return nil
	})
	return sum
}
