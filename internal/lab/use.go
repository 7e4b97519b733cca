package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A directory of the cache has two locks beside it: the process that makes it holds DIR.lock, and
// all that read it share DIR.use. The process that removes the directory holds both. DIR.use also
// says by its time when the directory was last used.
const (
	lockSuffix = ".lock"
	useSuffix  = ".use"
)

// use marks a directory of the cache as used until done is called: nothing removes it. One that
// is gone is fs.ErrNotExist. Where no file can be made beside the directory (a cache that is
// another user's, or read-only), it is used without a mark.
func use(dir string) (done func(), err error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("use of the cache: %w", err)
	}
	for {
		f, err := os.OpenFile(dir+useSuffix, os.O_CREATE|os.O_RDWR, 0o644)
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) {
			return func() {}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("use of the cache: %w", err)
		}
		// One that is being removed is locked for a moment only.
		for err = unix.EINTR; errors.Is(err, unix.EINTR); {
			err = unix.Flock(int(f.Fd()), unix.LOCK_SH)
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		if !stillAt(f, f.Name()) {
			f.Close()
			continue
		}
		// It may have gone before the lock was ours.
		if _, err := os.Stat(dir); err != nil {
			f.Close()
			return nil, fmt.Errorf("use of the cache: %w", err)
		}
		now := time.Now()
		_ = os.Chtimes(f.Name(), now, now) // another user's, who wrote it, says an older time
		return func() { f.Close() }, nil
	}
}

// used says that a directory was used just now.
func used(dir string) {
	if done, err := use(dir); err == nil {
		done()
	}
}

// stillAt tells whether a file is still what its path names: a lock that was removed with
// what it is for is nobody's.
func stillAt(f *os.File, path string) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(mine, there)
}

// use marks a fetched kernel; an installed one is not the lab's to remove.
func (k Kernel) use() (done func(), err error) {
	dir := filepath.Dir(filepath.Dir(filepath.Dir(k.Modules)))
	if k.Modules == "" || !exists(filepath.Join(dir, kernelRecord)) {
		return func() {}, nil
	}
	return use(dir)
}

// use marks what a machine has of the cache: its kernel, and modules that were built there.
func (m Machine) use() (done func(), err error) {
	dirs := []func(){}
	done = func() {
		for _, d := range dirs {
			d()
		}
	}
	d, err := m.Kernel.use()
	if err != nil {
		return nil, err
	}
	dirs = append(dirs, d)
	for _, f := range m.Files {
		dir, ok := builtAt(m.Cache, f.Host)
		if !ok {
			continue
		}
		if d, err = use(dir); err != nil {
			done()
			return nil, err
		}
		dirs = append(dirs, d)
	}
	return done, nil
}

// builtAt gives the directory of the cache's built modules that a path leads to.
func builtAt(cache, name string) (dir string, ok bool) {
	base, err := filepath.EvalSymlinks(filepath.Join(cache, "built"))
	if err != nil {
		return "", false
	}
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return "", false
	}
	rel, err := filepath.Rel(base, real)
	parts := strings.Split(rel, string(filepath.Separator))
	if err != nil || len(parts) < 3 || parts[0] == ".." {
		return "", false
	}
	return filepath.Join(base, parts[0], parts[1], parts[2]), true
}
