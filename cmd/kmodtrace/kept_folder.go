package main

import (
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

// newKeeper errs where nothing can be kept: not this user's folder, or no folder. Until
// it is closed, nobody else forgets a module that is out of the kernel for a moment.
func newKeeper(dir string) (*keeper, error) {
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
		return nil, fmt.Errorf("%s is not a folder that is this user's alone", dir)
	}
	lock, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	k := &keeper{dir: dir, boot: boot, root: &kmod.ListOptions{}, lock: lock}
	if err := k.flock(unix.LOCK_SH); err != nil {
		k.close()
		return nil, err
	}
	return k, nil
}

func (k *keeper) close() { _ = k.lock.Close() }

func (k *keeper) flock(how int) error {
	for {
		if err := unix.Flock(int(k.lock.Fd()), how); err != unix.EINTR {
			return err
		}
	}
}

// prune removes what is of another boot, or of no module that is loaded, and what a
// keeper that was killed has left; unless somebody else is at work in the folder.
func (k *keeper) prune() {
	defer func() { _ = k.flock(unix.LOCK_SH) }()
	if k.flock(unix.LOCK_EX|unix.LOCK_NB) != nil {
		return
	}
	files, _ := os.ReadDir(k.dir)
	for _, file := range files {
		module, isRecord := strings.CutSuffix(file.Name(), ".json")
		switch {
		case strings.HasPrefix(file.Name(), unfinished):
			_ = os.Remove(filepath.Join(k.dir, file.Name()))
		case isRecord && !k.current(module):
			_ = os.Remove(k.path(module, ".json"))
			_ = os.Remove(k.path(module, ".ko"))
		}
	}
}

// current tells whether what is kept is of a module that is in the kernel.
func (k *keeper) current(module string) bool {
	var c kept
	text, err := os.ReadFile(k.path(module, ".json"))
	if err != nil || json.Unmarshal(text, &c) != nil || c.Boot != k.boot {
		return false
	}
	_, err = kmod.Look(module, k.root)
	return err == nil
}

// absolute names a file for those in other folders.
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
