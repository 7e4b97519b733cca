package kernel

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"golang.org/x/sys/unix"
)

// maxFile bounds the text files that are read whole. The largest real one,
// Module.symvers, has 2 MiB.
const maxFile = 64 << 20

func (k *Kernel) path(name string) string { return filepath.Join(k.root, name) }

// line gives the first line of a small file, or nothing.
func (k *Kernel) line(name string) string { return procfs.FirstLine(k.path(name)) }

// readMaybeGzip reads a text file that may be compressed.
func readMaybeGzip(path string) ([]byte, error) {
	data, err := procfs.ReadFile(path, maxFile)
	if err != nil || !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		return data, err
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	text, err := procfs.ReadBounded(r, path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return text, nil
}

// fileLines gives the lines of a text without reading it whole, and then the error
// that ended it, if any, with an empty line. A line is valid until the next one.
func fileLines(path string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			yield(nil, err)
			return
		}
		defer f.Close()
		lines := bufio.NewScanner(procfs.Impatient(f))
		lines.Buffer(nil, procfs.MaxLine)
		for lines.Scan() {
			if !yield(lines.Bytes(), nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(nil, fmt.Errorf("%s: %w", path, err))
		}
	}
}

// exists tells whether a path is there, and not whether it may be read.
func (k *Kernel) exists(name string) bool {
	_, err := os.Stat(k.path(name))
	return err == nil
}
