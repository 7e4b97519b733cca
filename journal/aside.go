package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// companions are the files that SQLite keeps beside a database; the last only until it
// has a write-ahead log.
var companions = [...]string{"-wal", "-shm", "-journal"}

// SetAside renames a journal that cannot be used, so that [Open] begins a new one, and
// gives the name that it keeps it by: the old one with the time, and a number where
// that is taken. It does not look at what is in it. Nobody may have it open for
// writing.
func SetAside(path string, now time.Time) (kept string, err error) {
	l, err := takeLock(path)
	if err != nil {
		return "", wrap("set aside", path, err)
	}
	defer l.release()
	if _, err := os.Lstat(path); err != nil {
		return "", wrap("set aside", path, err)
	}
	kept, err = setAside(path, now)
	return kept, wrap("set aside", path, err)
}

func setAside(path string, now time.Time) (kept string, err error) {
	kept, err = freeName(path + ".damaged-" + now.UTC().Format("20060102T150405Z"))
	if err != nil {
		return "", err
	}
	// The file first. Where only that was done, Open takes the rest away too.
	for _, suffix := range append([]string{""}, companions[:]...) {
		if err := os.Rename(path+suffix, kept+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", readOnlyMeaning(err)
		}
	}
	return kept, syncDir(filepath.Dir(path))
}

// freeName gives a name that neither a file nor a companion has.
func freeName(base string) (string, error) {
	for n := 1; n < 1000; n++ {
		name := base
		if n > 1 {
			name = fmt.Sprintf("%s-%d", base, n)
		}
		if !anyExists(name) {
			return name, nil
		}
	}
	return "", fmt.Errorf("there are many files named %s… already", base)
}

func anyExists(name string) bool {
	for _, suffix := range append([]string{""}, companions[:]...) {
		if _, err := os.Lstat(name + suffix); err == nil {
			return true
		}
	}
	return false
}

// syncDir makes a new name in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
