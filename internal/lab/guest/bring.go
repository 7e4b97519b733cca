package guest

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The bounds of a name that is brought back, by which the host judges it.
const (
	maxBringDepth = 64   // directories in one name
	maxBringPath  = 4096 // bytes
	maxBringName  = 255
)

// CheckBringName says whether a name may be brought back: one of a file below a directory,
// that no terminal and no tool on the host trips over.
func CheckBringName(name string) error {
	elements := strings.Split(name, "/")
	tooLong := func(element string) bool { return len(element) > maxBringName }
	control := func(r rune) bool { return r < ' ' || r == 0x7f }
	switch {
	case !fs.ValidPath(name) || name == ".":
		return errors.New("not a name of a file below a directory")
	case strings.ContainsFunc(name, control):
		return errors.New("a control character in its name")
	case len(name) > maxBringPath || len(elements) > maxBringDepth || slices.ContainsFunc(elements, tooLong):
		return errors.New("its name is too long or too deep")
	}
	return nil
}

// bring sends files and directories as one gzip'd tar stream: the port moves less
// than a megabyte a second, the emulated CPU compresses several. Entries are named
// INDEX/BASE…, by the position of what was asked for. The error is the port's;
// what cannot be read becomes trouble, and the others still come.
func bring(paths []string, frames *Writer) error {
	port := bufio.NewWriterSize(frames.Stream(Files), MaxPayload)
	packed := gzip.NewWriter(port)
	p := &packer{archive: tar.NewWriter(packed)}
	var troubles []error
	for i, path := range paths {
		if err := p.pack(path, strconv.Itoa(i)); err != nil {
			troubles = append(troubles, fmt.Errorf("bring back %w", err))
		}
	}
	if err := errors.Join(p.archive.Close(), packed.Close(), port.Flush()); err != nil {
		return err
	}
	for _, err := range troubles {
		if err := frames.trouble(err); err != nil {
			return err
		}
	}
	if p.left > 0 {
		return frames.note(fmt.Sprintf("%d links, devices and the like were not brought back, the first %s", p.left, p.first))
	}
	return nil
}

// packer writes the archive, and counts what it leaves out: the host takes nothing but
// regular files and directories.
type packer struct {
	archive *tar.Writer
	left    int
	first   string
}

func (p *packer) leaveOut(path string) {
	if p.left++; p.left == 1 {
		p.first = path
	}
}

// pack adds one file or tree. That what was asked for is itself a link is what its user
// may not know: the link is followed, and the name kept.
func (p *packer) pack(root, prefix string) error {
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return err
	}
	name := filepath.Base(filepath.Clean(root))
	return filepath.WalkDir(real, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(real, path)
		if err != nil {
			return err
		}
		to := filepath.Join(name, rel)
		if CheckBringName(to) != nil {
			p.leaveOut(path)
			if info.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		return p.one(path, prefix+"/"+to, info)
	})
}

// one adds one file. Regular files are read whole first: files of proc,
// sysfs and tracefs say that they are empty, or of a size that they do not have.
func (p *packer) one(path, name string, info fs.FileInfo) error {
	var data []byte
	var err error
	switch {
	case info.Mode().IsRegular():
		data, err = os.ReadFile(path)
	case !info.IsDir():
		p.leaveOut(path)
		return nil
	}
	if err != nil {
		return err
	}
	header, err := tar.FileInfoHeader(info, "")
	if err != nil {
		return err
	}
	header.Name, header.Size = name, int64(len(data))
	if err := p.archive.WriteHeader(header); err != nil {
		return err
	}
	if _, err := p.archive.Write(data); err != nil && !errors.Is(err, io.ErrShortWrite) {
		return err
	}
	return nil
}
