// Package outfile writes files that are there whole or not at all, and never through a link that
// another user made.
package outfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"golang.org/x/sys/unix"
)

// File is a file that is there whole or not at all: until commit, what was there
// before is. It never goes through a link of somebody else's, nor into a file that was
// there already.
type File struct {
	path      string // as it was asked for
	name      string // of what it will be, in its directory
	Temp      *os.File
	directory *os.File // nil for what is written to as it is: a device or a pipe
	done      bool
}

// Create begins a file, or errs where there can be none.
func Create(path string) (*File, error) {
	mode := fs.FileMode(0o666) // as the umask allows
	info, err := os.Stat(path)
	real, resolveErr := resolvePath(path)
	switch {
	case errors.Is(resolveErr, errForeignLink):
		return nil, writeError(path, resolveErr)
	case err == nil && info.IsDir():
		return nil, fmt.Errorf("write %s: it is a directory", cells.Short(path))
	case err == nil && !info.Mode().IsRegular():
		f, err := openDirect(path)
		return &File{path: path, Temp: f}, writeError(path, err)
	case err == nil:
		mode = info.Mode().Perm()
	case !errors.Is(err, fs.ErrNotExist):
		return nil, writeError(path, err)
	}
	if resolveErr != nil {
		return nil, writeError(path, resolveErr)
	}
	directory, err := openDirectory(filepath.Dir(real))
	if err != nil {
		return nil, writeError(path, err)
	}
	temp := ".kmodtrace-" + rand.Text()
	fd, err := unix.Openat(int(directory.Fd()), temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(mode))
	if err != nil {
		directory.Close()
		return nil, writeError(path, err)
	}
	return &File{path: path, name: filepath.Base(real), Temp: os.NewFile(uintptr(fd), temp), directory: directory}, nil
}

// errNoReader is a pipe that would be written to in vain.
var errNoReader = errors.New("it has no reader: start the reader first")

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

// Commit writes the file and puts it into its place.
func (f *File) Commit(content []byte) error {
	f.done = true
	_, err := f.Temp.Write(content)
	if err == nil && f.directory != nil {
		err = f.Temp.Sync()
	}
	return writeError(f.path, f.end(errors.Join(err, f.Temp.Close())))
}

// Begin puts the file into its place empty, to be written to as it comes; the caller
// closes it.
func (f *File) Begin() (*os.File, error) {
	f.done = true
	if err := f.end(nil); err != nil {
		return nil, writeError(f.path, errors.Join(err, f.Temp.Close()))
	}
	return f.Temp, nil
}

// end gives the file its name, or takes it away after an error.
func (f *File) end(err error) error {
	if f.directory == nil {
		return err
	}
	dir := int(f.directory.Fd())
	if err == nil {
		err = unix.Renameat(dir, f.Temp.Name(), dir, f.name)
	}
	if err != nil {
		_ = unix.Unlinkat(dir, f.Temp.Name(), 0)
	}
	_ = f.directory.Close()
	return err
}

// Abandon leaves what was there as it is. After commit it does nothing.
func (f *File) Abandon() {
	if f == nil || f.done {
		return
	}
	f.done = true
	_ = f.Temp.Close()
	_ = f.end(fs.ErrClosed)
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
	return &Error{fmt.Errorf("write %s: %w", cells.Short(path), err)}
}

// Error says that a file could not be written.
type Error struct{ err error }

func (e *Error) Error() string { return e.err.Error() }
func (e *Error) Unwrap() error { return e.err }
