package kernel

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// maxFile bounds the text files that are read whole. The largest real one,
// Module.symvers, has 2 MiB.
const maxFile = 64 << 20

// maxLine bounds a line of them; a longer one is no line of what these files are.
const maxLine = 1 << 20

func (k *Kernel) path(name string) string { return filepath.Join(k.root, name) }

// line gives the first line of a small file, or nothing.
func (k *Kernel) line(name string) string { return firstLine(k.path(name)) }

func firstLine(path string) string {
	text, err := readFile(path, maxLine)
	if err != nil {
		return ""
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return string(line)
}

// readFile reads a regular file of bearable size. O_NONBLOCK: a FIFO must not hang us.
func readFile(path string, most int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a regular file", path)
	}
	if err != nil {
		return nil, err
	}
	return readBounded(impatient{f}, path, most)
}

// impatient reads what is there, and errs with EAGAIN where that is nothing now: /proc and
// tracefs have files that look regular and are streams. The runtime would wait for more.
type impatient struct{ file *os.File }

func (r impatient) Read(p []byte) (n int, err error) {
	conn, err := r.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	refused := conn.Read(func(fd uintptr) bool {
		for {
			if n, err = unix.Read(int(fd), p); !errors.Is(err, unix.EINTR) {
				return true
			}
		}
	})
	switch {
	case refused != nil:
		return 0, refused
	case err != nil:
		return 0, &fs.PathError{Op: "read", Path: r.file.Name(), Err: err}
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, nil
}

func readBounded(r io.Reader, name string, most int64) ([]byte, error) {
	var out bytes.Buffer
	n, err := io.Copy(&out, io.LimitReader(r, most+1))
	if err != nil {
		return nil, err
	}
	if n > most {
		return nil, fmt.Errorf("%s: more than %d bytes", name, most)
	}
	return out.Bytes(), nil
}

// readMaybeGzip reads a text file that may be compressed.
func readMaybeGzip(path string) ([]byte, error) {
	data, err := readFile(path, maxFile)
	if err != nil || !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		return data, err
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	text, err := readBounded(r, path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return text, nil
}

// fileLines gives the lines of a text without reading it whole, and then the error
// that ended it, if any, with an empty line.
func fileLines(path string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			yield("", err)
			return
		}
		defer f.Close()
		lines := bufio.NewScanner(impatient{f})
		lines.Buffer(nil, maxLine)
		for lines.Scan() {
			if !yield(lines.Text(), nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield("", fmt.Errorf("%s: %w", path, err))
		}
	}
}

// exists tells whether a path is there, and not whether it may be read.
func (k *Kernel) exists(name string) bool {
	_, err := os.Stat(k.path(name))
	return err == nil
}
