package output

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"
)

// file writes lines to a file, which it moves aside when that has its size. A batch is on
// the disk when it is sent; what could be written only in part is taken back.
type file struct {
	name  string
	path  string
	max   int64 // bytes
	lines lines
	apart apart

	// Below is what a write that is held up still uses: only for the function in apart.
	rotation *lumberjack.Logger // moves aside and removes; it never writes
	rotated  time.Time
	f        *os.File
	size     int64
	regular  bool
}

// fileMode lets the group read, so that a forwarder need not be root.
const (
	fileMode   = 0o640
	folderMode = 0o750
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
		return fmt.Errorf("%s: writing is held up", o.path)
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
	if err := os.MkdirAll(filepath.Dir(o.path), folderMode); err != nil {
		return err
	}
	f, err := os.OpenFile(o.path, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL, fileMode)
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

// openOld opens a file that is there. What is none, as a pipe, is for writing only.
func (o *file) openOld() (*os.File, error) {
	flags := os.O_WRONLY | os.O_APPEND
	if info, err := os.Stat(o.path); err == nil && info.Mode().IsRegular() {
		flags = os.O_RDWR | os.O_APPEND
	}
	return os.OpenFile(o.path, flags, 0)
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

// rotate moves the file aside and begins a new one with the same rights.
func (o *file) rotate() error {
	info, err := o.f.Stat()
	if err != nil {
		return err
	}
	if err := o.closeFile(); err != nil {
		return err
	}
	// The names of files moved aside have the time to the millisecond.
	time.Sleep(time.Until(o.rotated.Add(2 * time.Millisecond)))
	o.rotated = time.Now()
	if err := o.rotation.Rotate(); err != nil {
		return fmt.Errorf("move %s aside: %w", o.path, err)
	}
	if err := o.rotation.Close(); err != nil {
		return err
	}
	return os.Chmod(o.path, info.Mode().Perm())
}
