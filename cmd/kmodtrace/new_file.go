package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// newFile is a file that is there whole or not at all: until commit, what was there
// before is.
type newFile struct {
	path string // of what it will be, links followed
	temp *os.File
	done bool
	// direct is a device or a pipe, which is written to as it is.
	direct bool
}

// createFile begins a file, or errs where there can be none.
func createFile(path string) (*newFile, error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	mode := fs.FileMode(0o666) // as the umask allows
	switch info, err := os.Stat(path); {
	case err == nil && info.IsDir():
		return nil, fmt.Errorf("write %s: it is a folder", shortText(path))
	case err == nil && !info.Mode().IsRegular():
		f, err := openDirect(path)
		return &newFile{path: path, temp: f, direct: true}, writeError(path, err)
	case err == nil:
		mode = info.Mode().Perm()
	case !errors.Is(err, fs.ErrNotExist):
		return nil, writeError(path, err)
	}
	f, err := os.OpenFile(filepath.Join(filepath.Dir(path), ".kmodtrace-"+rand.Text()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, writeError(path, err)
	}
	return &newFile{path: path, temp: f}, nil
}

// errNoReader is a pipe that would be written to in vain.
var errNoReader = errors.New("nobody reads from it: begin the reader first")

// openDirect opens a device or a pipe. Who just opens a pipe that nobody reads waits, and no
// signal ends that: a reader that is begun at the same time has a second.
func openDirect(path string) (*os.File, error) {
	for end := time.Now().Add(time.Second); ; time.Sleep(10 * time.Millisecond) {
		f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0)
		switch {
		case !errors.Is(err, unix.ENXIO):
			return f, err
		case time.Now().After(end):
			return nil, errNoReader
		}
	}
}

// commit writes the file and puts it into its place.
func (f *newFile) commit(content []byte) error {
	f.done = true
	_, err := f.temp.Write(content)
	if err == nil && !f.direct {
		err = f.temp.Sync()
	}
	err = errors.Join(err, f.temp.Close())
	switch {
	case f.direct:
	case err != nil:
		os.Remove(f.temp.Name())
	default:
		err = os.Rename(f.temp.Name(), f.path)
	}
	return writeError(f.path, err)
}

// abandon leaves what was there as it is. After commit it does nothing.
func (f *newFile) abandon() {
	if f == nil || f.done {
		return
	}
	f.temp.Close()
	if !f.direct {
		os.Remove(f.temp.Name())
	}
}

// writeError names the file that was asked for, and not the one on the way to it.
func writeError(path string, err error) error {
	if err == nil {
		return nil
	}
	var named *fs.PathError
	if errors.As(err, &named) {
		err = named.Err
	}
	// With a status, so that nobody takes it for an error of what is drawn.
	return &exitError{status: exitRefused, err: fmt.Errorf("write %s: %w", shortText(path), err)}
}
