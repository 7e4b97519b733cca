package lab

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// Bring names something of the guest to bring back when its command has ended.
type Bring struct {
	Guest  string // a file or folder in the guest, an absolute path
	Folder string // the host's folder that it is put into, under its own name; made when absent
}

// collector unpacks what the guest brings back while it arrives.
type collector struct {
	pipe *io.PipeWriter
	done chan error
}

func newCollector(wanted []Bring) *collector {
	r, w := io.Pipe()
	c := &collector{pipe: w, done: make(chan error, 1)}
	go func() {
		err := unpackBrought(r, wanted)
		r.CloseWithError(err) // lets write go on when unpacking stopped early
		c.done <- err
	}()
	return c
}

// write takes a piece of the stream. An error of the unpacking shows in close.
func (c *collector) write(p []byte) { _, _ = c.pipe.Write(p) }

// close ends the stream and tells whether all of it could be unpacked.
func (c *collector) close(cause error) error {
	c.pipe.CloseWithError(cause)
	if err := <-c.done; err != nil {
		return fmt.Errorf("bring files back: %w", err)
	}
	return nil
}

func unpackBrought(r io.Reader, wanted []Bring) error {
	packed, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	archive := tar.NewReader(packed)
	for {
		header, err := archive.Next()
		if err == io.EOF {
			// The gzip trailer is behind the archive's end.
			_, err := io.Copy(io.Discard, packed)
			return err
		}
		if err != nil {
			return err
		}
		if err := unpackEntry(archive, header, wanted); err != nil {
			return err
		}
	}
}

// unpackEntry writes one entry, named INDEX/NAME. The folder is opened as a root: no
// name that the guest gives leads out of it.
func unpackEntry(archive io.Reader, header *tar.Header, wanted []Bring) error {
	index, name, _ := strings.Cut(path.Clean(header.Name), "/")
	i, err := strconv.Atoi(index)
	if err != nil || i < 0 || i >= len(wanted) || name == "" {
		return fmt.Errorf("unexpected entry %.80q", header.Name)
	}
	if err := os.MkdirAll(wanted[i].Folder, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(wanted[i].Folder)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, 0o755)
	case tar.TypeSymlink:
		if err := root.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return root.Symlink(header.Linkname, name)
	default:
		f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, header.FileInfo().Mode().Perm()|0o200)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, archive)
		return errors.Join(err, f.Close())
	}
}
