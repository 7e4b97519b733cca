package lab

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cavaliergopher/cpio"
)

// image writes an initramfs: an uncompressed cpio archive, which an emulated
// machine unpacks faster than any compressed one. Parents are made as needed, and
// /bin, /sbin, /lib and /lib64 are links into /usr, so that each file has one path.
type image struct {
	out   *bufio.Writer
	cpio  archiveWriter
	have  map[string]fs.FileMode // paths in the image without the leading slash
	inode int64
}

// archiveWriter is a cpio.Writer, or a [fingerprint] in its place.
type archiveWriter interface {
	WriteHeader(*cpio.Header) error
	io.WriteCloser
}

func newImage(w io.Writer) (*image, error) {
	im := newArchive(w)
	return im, im.root()
}

// newArchive is an image without anything in it.
func newArchive(w io.Writer) *image {
	out := bufio.NewWriterSize(w, 1<<20)
	return &image{out: out, cpio: cpio.NewWriter(out), have: make(map[string]fs.FileMode)}
}

// root adds the directories that all others are in.
func (im *image) root() error {
	for _, dir := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := im.symlink("usr/"+dir, "/"+dir); err != nil {
			return err
		}
		if err := im.dir("/usr/"+dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// close ends the archive. What is written to is the caller's.
func (im *image) close() error {
	return errors.Join(im.cpio.Close(), im.out.Flush())
}

// clean gives a path's one name in the image, without the leading slash.
func (im *image) clean(name string) string {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	first, rest, deeper := strings.Cut(name, "/")
	if deeper && slices.Contains([]string{"bin", "sbin", "lib", "lib64"}, first) {
		return path.Join("usr", first, rest)
	}
	return name
}

// has says whether the image holds the path already.
func (im *image) has(name string) bool {
	_, ok := im.have[im.clean(name)]
	return ok
}

func (im *image) header(name string, mode fs.FileMode, kind cpio.FileMode, size int64) error {
	h := &cpio.Header{Name: name, Mode: kind | cpio.FileMode(mode.Perm()), Size: size}
	if mode&fs.ModeSetuid != 0 {
		h.Mode |= cpio.ModeSetuid
	}
	if mode&fs.ModeSticky != 0 {
		h.Mode |= cpio.ModeSticky
	}
	return im.add(h)
}

// add begins the entry h, whose content is to follow, and its parents. A directory that is
// there already stays as it is.
func (im *image) add(h *cpio.Header) error {
	name := im.clean(h.Name)
	if name == "" {
		return nil
	}
	if old, ok := im.have[name]; ok {
		if old.IsDir() && h.Mode.IsDir() {
			return nil
		}
		return fmt.Errorf("image: /%s is there already", name)
	}
	if parent := path.Dir(name); parent != "." {
		if err := im.dir("/"+parent, 0o755); err != nil {
			return err
		}
	}
	im.have[name] = h.FileInfo().Mode()
	im.inode++
	h.Name, h.Inode, h.Links = name, im.inode, 1
	if err := im.cpio.WriteHeader(h); err != nil {
		return fmt.Errorf("image: /%s: %w", name, err)
	}
	return nil
}

func (im *image) dir(name string, mode fs.FileMode) error {
	if mode0, ok := im.have[im.clean(name)]; ok && mode0.IsDir() {
		return nil
	}
	return im.header(name, mode|fs.ModeDir, cpio.TypeDir, 0)
}

func (im *image) symlink(target, name string) error {
	if err := im.header(name, fs.ModeSymlink|0o777, cpio.TypeSymlink, int64(len(target))); err != nil {
		return err
	}
	_, err := io.WriteString(im.cpio, target)
	return err
}

// text adds a small file.
func (im *image) text(name string, mode fs.FileMode, content []byte) error {
	if err := im.header(name, mode, cpio.TypeReg, int64(len(content))); err != nil {
		return err
	}
	_, err := im.cpio.Write(content)
	return err
}

// file copies a file of the host, following links.
func (im *image) file(host, name string) error {
	f, err := os.Open(host)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("image: %s is not a regular file", host)
	}
	if err := im.header(name, info.Mode(), cpio.TypeReg, info.Size()); err != nil {
		return err
	}
	// One that shrinks meanwhile must not shift everything behind it.
	if n, err := io.CopyN(im.cpio, f, info.Size()); err != nil {
		return fmt.Errorf("image: %s, byte %d of %d: %w", host, n, info.Size(), err)
	}
	return nil
}

// tree copies a directory of the host with all that is in it. Links stay links.
func (im *image) tree(host, name string, skip func(rel string) bool) error {
	return filepath.WalkDir(host, func(at string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(host, at)
		if err != nil {
			return err
		}
		to := path.Join("/", name, filepath.ToSlash(rel))
		switch {
		case skip != nil && skip(rel):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir():
			return im.dir(to, 0o755)
		case entry.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(at)
			if err != nil {
				return err
			}
			return im.symlink(target, to)
		case entry.Type().IsRegular():
			if print, ok := im.cpio.(*fingerprint); ok {
				return print.file(im, at, to)
			}
			return im.file(at, to)
		default:
			return nil // sockets, pipes and devices mean nothing in the guest
		}
	})
}
