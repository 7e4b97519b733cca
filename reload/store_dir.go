package reload

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/kmod"
	"golang.org/x/sys/unix"
)

// OpenStore opens the Store in a directory, which it makes if need be; "" is [DefaultStore].
// It errs where nothing can be kept: not this user's directory, or not a directory. Until it
// is closed, nobody else forgets a module that is out of the kernel for a moment.
func OpenStore(dir string) (*Store, error) {
	dir = cmp.Or(dir, DefaultStore)
	boot, err := procfs.BootID("/")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(stat.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("%s is not a directory that only this user can use", dir)
	}
	lock, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, boot: boot, root: &kmod.ListOptions{}, lock: lock}
	if err := s.flock(unix.LOCK_SH); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// Close lets others forget again. Calling it again does nothing.
func (s *Store) Close() error {
	if err := s.lock.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

func (s *Store) flock(how int) error {
	for {
		if err := unix.Flock(int(s.lock.Fd()), how); err != unix.EINTR {
			return err
		}
	}
}

// prune removes what is of another boot, or of no module that is loaded, and what a
// process that was killed has left; unless somebody else is at work in the directory.
func (s *Store) prune() {
	defer func() { _ = s.flock(unix.LOCK_SH) }()
	if s.flock(unix.LOCK_EX|unix.LOCK_NB) != nil {
		return
	}
	files, _ := os.ReadDir(s.dir)
	for _, file := range files {
		module, isRecord := strings.CutSuffix(file.Name(), ".json")
		switch {
		case strings.HasPrefix(file.Name(), unfinished):
			_ = os.Remove(filepath.Join(s.dir, file.Name()))
		case isRecord && !s.current(module):
			_ = os.Remove(s.path(module, ".json"))
			_ = os.Remove(s.path(module, ".ko"))
		}
	}
}

// current tells whether what is kept is of a module that is in the kernel.
func (s *Store) current(module string) bool {
	var c kept
	text, err := os.ReadFile(s.path(module, ".json"))
	if err != nil || json.Unmarshal(text, &c) != nil || c.Boot != s.boot {
		return false
	}
	_, err = kmod.Look(module, s.root)
	return err == nil
}

// absolute names a file for those in other directories.
func absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}

// unfinished is how files begin that are being written.
const unfinished = ".new-"

// writeWhole writes a file that nobody ever sees half of, for this user alone.
func writeWhole(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), unfinished+"*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
