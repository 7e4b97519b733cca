package output

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"gopkg.in/natefinch/lumberjack.v2"

	"github.com/kmodtrace/kmodtrace/internal/place"
)

// file writes lines to a file, which it moves aside when that has its size. A batch is on
// the disk when it is sent; what could be written only in part is taken back.
type file struct {
	name  string
	path  string
	max   int64 // bytes
	lines lines
	apart apart

	around Surroundings

	// Below is what a blocked write still uses: only for the function in apart.
	rotation *lumberjack.Logger // begins anew and removes; it never writes
	rotated  time.Time
	f        *os.File
	size     int64
	regular  bool
	warned   bool // that the group could not be kept
}

// fileMode lets the group read, so that a forwarder need not be root.
const (
	fileMode      = 0o640
	directoryMode = 0o750
)

func newFile(name, path string, limit int64, keep int, l lines) *file {
	return &file{name: name, path: path, max: limit, lines: l, rotation: &lumberjack.Logger{Filename: path, MaxBackups: keep}}
}

func (o *file) Name() string { return o.name }

func (o *file) Send(ctx context.Context, entries []Entry) error {
	all, refused := o.lines(entries)
	if err := o.apart.do(ctx, func() error { return o.write(all) }); err != nil {
		return err
	}
	return refused
}

func (o *file) Close() error {
	if !o.apart.idle() {
		return fmt.Errorf("%s: a write is blocked", o.path)
	}
	return o.closeFile()
}

func (o *file) closeFile() error {
	if o.f == nil {
		return nil
	}
	f := o.f
	o.f = nil
	return f.Close()
}

// write writes lines, as many to a file as fit, and at least one.
func (o *file) write(all [][]byte) error {
	for len(all) > 0 {
		if err := o.open(); err != nil {
			return err
		}
		if o.regular && o.size > 0 && o.size+int64(len(all[0])) > o.max {
			if err := o.rotate(); err != nil {
				return errors.Join(err, o.closeFile())
			}
			continue
		}
		n, total := 0, int64(0)
		for n < len(all) && (n == 0 || !o.regular || o.size+total+int64(len(all[n])) <= o.max) {
			total += int64(len(all[n]))
			n++
		}
		if err := o.append(bytes.Join(all[:n], nil)); err != nil {
			return errors.Join(err, o.closeFile())
		}
		all = all[n:]
	}
	return nil
}

// append writes all of the text or none of it.
func (o *file) append(text []byte) error {
	_, err := o.f.Write(text)
	if err == nil && o.regular {
		err = o.f.Sync()
	}
	if err != nil {
		if o.regular {
			// Where that fails, open ends the line.
			_ = o.f.Truncate(o.size)
		}
		return err
	}
	o.size += int64(len(text))
	return nil
}

// open opens what is at the path, unless it is open already. A file that somebody moved
// away or removed is not written any more.
func (o *file) open() error {
	if o.f != nil {
		now, err := os.Stat(o.path)
		if was, errWas := o.f.Stat(); err == nil && errWas == nil && os.SameFile(now, was) {
			o.size = was.Size() // somebody may have emptied it
			return nil
		}
		_ = o.closeFile()
	}
	if err := makeDirectory(filepath.Dir(o.path)); err != nil {
		return err
	}
	f, err := os.OpenFile(o.path, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, fileMode)
	switch {
	case err == nil:
		err = f.Chmod(fileMode) // whatever the umask
	case errors.Is(err, os.ErrExist):
		f, err = o.openOld()
	}
	if err == nil {
		o.f = f
		err = o.begin()
	}
	if err != nil {
		return errors.Join(err, o.closeFile())
	}
	return nil
}

// places are where an output may be: where nobody but root, this user and a group of the
// system decides what is written.
var places = place.Rules{SystemGroups: true}

// makeDirectory makes a directory where there is none, if it is safe to write a file there.
func makeDirectory(dir string) error {
	there := dir
	for there != "/" {
		if _, err := os.Lstat(there); err == nil {
			break
		}
		there = filepath.Dir(there)
	}
	if err := checkDirectory(there); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, directoryMode); err != nil {
		return err
	}
	return checkDirectory(dir)
}

// checkDirectory asks about a file that there is not: what is at the output's path may be
// a pipe or a device.
func checkDirectory(dir string) error {
	return places.Check(filepath.Join(dir, ".kmodtrace-none"))
}

// openOld opens what is there. What is not a file, as a pipe, is for writing only. A link
// is not followed, and another's file is left alone.
func (o *file) openOld() (*os.File, error) {
	flags := os.O_WRONLY | os.O_APPEND | unix.O_NOFOLLOW
	if info, err := os.Lstat(o.path); err == nil && info.Mode().IsRegular() {
		flags = os.O_RDWR | os.O_APPEND | unix.O_NOFOLLOW
	}
	f, err := os.OpenFile(o.path, flags, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%w: %s: it is a symbolic link: name the file that it leads to", place.ErrUnsafe, o.path)
	}
	if err != nil {
		return nil, err
	}
	own, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	for _, other := range o.around.Others {
		if info, err := os.Stat(other); err == nil && os.SameFile(info, own) {
			_ = f.Close()
			return nil, fmt.Errorf("%s is the same file as %s", o.path, other)
		}
	}
	return f, nil
}

// begin finds out what was opened, and ends a line that a crash left without its end.
func (o *file) begin() error {
	info, err := o.f.Stat()
	if err != nil {
		return err
	}
	o.size, o.regular = info.Size(), info.Mode().IsRegular()
	if !o.regular || o.size == 0 {
		return nil
	}
	var last [1]byte
	if _, err := o.f.ReadAt(last[:], o.size-1); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if last[0] == '\n' {
		return nil
	}
	return o.append([]byte("\n"))
}

// The names of files that were moved aside are those of the library that removes them.
const asideTime = "2006-01-02T15-04-05.000"

// asideParts gives what stands before and after the time in these names.
func asideParts(path string) (before, after string) {
	ext := filepath.Ext(path)
	return strings.TrimSuffix(path, ext) + "-", ext
}

// rotate moves the file aside and begins a new one with the same rights. The library would
// do both, but leaves off in the middle where this process may not give a file to another
// group: then the new one has none of the rights.
func (o *file) rotate() error {
	info, err := o.f.Stat()
	if err != nil {
		return err
	}
	if err := o.closeFile(); err != nil {
		return err
	}
	// The names have the time to the millisecond.
	time.Sleep(time.Until(o.rotated.Add(2 * time.Millisecond)))
	o.rotated = time.Now()
	before, after := asideParts(o.path)
	if err := os.Rename(o.path, before+o.rotated.UTC().Format(asideTime)+after); err != nil {
		return fmt.Errorf("move %s aside: %w", o.path, err)
	}
	// It finds none, makes one that only its owner may read, and removes old ones.
	if err := o.rotation.Rotate(); err != nil {
		return fmt.Errorf("start a new %s: %w", o.path, err)
	}
	if err := o.rotation.Close(); err != nil {
		return err
	}
	return o.likeBefore(info)
}

// likeBefore gives the new file the owner, group and mode of the one before it. Where this
// process may not, it is the process's, or the group is that of the directory if that hands
// its group on (setgid); that is said once, and nothing else depends on it.
func (o *file) likeBefore(old os.FileInfo) error {
	was, ok := old.Sys().(*syscall.Stat_t)
	info, err := os.Lstat(o.path)
	if err != nil {
		return err
	}
	is, _ := info.Sys().(*syscall.Stat_t)
	if ok && (is.Uid != was.Uid || is.Gid != was.Gid) {
		err := os.Lchown(o.path, int(was.Uid), int(was.Gid))
		if err != nil && is.Gid != was.Gid { // the group is what readers have
			err = os.Lchown(o.path, -1, int(was.Gid))
		}
		if err != nil && !o.warned && o.around.Warn != nil {
			o.warned = true
			o.around.Warn(fmt.Sprintf("%s had owner %d and group %d, which a new file cannot be given: %v; a directory that hands its group on (chmod g+s) keeps the group", o.path, was.Uid, was.Gid, err))
		}
	}
	return os.Chmod(o.path, old.Mode().Perm())
}
