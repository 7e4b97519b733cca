package lab

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// maxSnapshots is what all snapshots may take on the disk, in bytes: some twenty.
const maxSnapshots = 4 << 30

// makingPrefix and gonePrefix are of folders that are no snapshots: not yet, or not any more.
const (
	makingPrefix = ".making-"
	gonePrefix   = ".gone-"
)

// discardSnapshot removes a snapshot. A machine that is going on from it meanwhile has its
// files open, or finds some of them missing and asks for it anew.
func discardSnapshot(dir string) error {
	gone, err := os.MkdirTemp(filepath.Dir(dir), gonePrefix)
	if err != nil {
		return err
	}
	err = os.Rename(dir, filepath.Join(gone, filepath.Base(dir)))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, os.RemoveAll(gone))
}

// tidySnapshots removes what killed runs have left, and the least recently used snapshots
// but one, until the rest takes at most so many bytes.
func tidySnapshots(root, keep string, most int64) error {
	all, stale, err := listSnapshots(root)
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range stale {
		errs = append(errs, os.RemoveAll(dir))
	}
	slices.SortFunc(all, func(a, b kept) int { return b.used.Compare(a.used) })
	var sum int64
	for _, s := range all {
		if sum += s.size; sum > most && s.dir != keep {
			sum -= s.size
			errs = append(errs, discardSnapshot(s.dir))
		}
	}
	return errors.Join(errs...)
}

// kept is a snapshot as the disk has it.
type kept struct {
	dir  string
	size int64 // bytes on the disk
	used time.Time
}

// abandoned is the age of a folder that nobody is making a snapshot in any more.
const abandoned = 2 * saveLimit

func listSnapshots(root string) (all []kept, stale []string, err error) {
	dirs, err := filepath.Glob(filepath.Join(root, "*", "*"))
	if err != nil {
		return nil, nil, err
	}
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() {
			continue // a lock, or removed meanwhile
		}
		name := info.Name()
		switch {
		case strings.HasPrefix(name, makingPrefix), strings.HasPrefix(name, gonePrefix):
			if time.Since(info.ModTime()) > abandoned {
				stale = append(stale, dir)
			}
		case !strings.HasPrefix(name, "."):
			all = append(all, kept{dir, sizeOnDisk(dir), info.ModTime()})
		}
	}
	return all, stale, nil
}

func sizeOnDisk(dir string) (bytes int64) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			bytes += 512 * st.Blocks
		}
	}
	return bytes
}
