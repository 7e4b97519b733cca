package lab

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/lab/guest"
)

// Bring names something of the guest to bring back when its command has ended.
//
// A guest is not trusted. What it sends is unpacked into a new directory that only this
// user can enter, and moved to its place when all of it has arrived. Only regular files
// and directories are taken: a link, a device or a name that leads elsewhere is refused,
// and then nothing is brought back.
type Bring struct {
	Guest     string // a file or directory in the guest, an absolute path
	Directory string // the host's directory that it is put into, under its own name; made when absent
	// File refuses a directory.
	File bool
	// Modes keeps the permission bits. Without it nothing can be executed.
	Modes bool
	// Add is a pattern, as [path.Match] has them, of files that may come into a directory
	// that is there already. A file that is there stays. Without it, such a directory is
	// refused.
	Add string
}

// The bounds of what one run brings back, unless the [Machine] sets its own.
const (
	defaultBringBytes = 1 << 30
	defaultBringFiles = 100_000
)

// name is what a thing is called, here as in the guest.
func (b Bring) name() string { return path.Base(path.Clean(b.Guest)) }

// checkBring refuses what could not be put into its place in the end.
func checkBring(wanted []Bring) error {
	places := make(map[string]string)
	for _, b := range wanted {
		if !path.IsAbs(b.Guest) {
			return fmt.Errorf("bring back %q: not an absolute path in the guest", b.Guest)
		}
		if b.name() == "/" {
			return fmt.Errorf("bring back %q: the guest's root directory has no name to bring it back under", b.Guest)
		}
		place := filepath.Join(b.Directory, b.name())
		if abs, err := filepath.Abs(place); err == nil {
			place = abs
		}
		if other, ok := places[place]; ok {
			return fmt.Errorf("bring back %q: %q has the same place here: %s", b.Guest, other, place)
		}
		places[place] = b.Guest
		info, err := os.Lstat(place)
		if err == nil {
			err = b.mayReplace(info, place)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("bring back %q: %w", b.Guest, err)
		}
	}
	return nil
}

// mayReplace says whether what is at the place here may be replaced: a regular file, or
// an empty directory. Nobody asked for anything else to go.
func (b Bring) mayReplace(info fs.FileInfo, place string) error {
	switch {
	case info.Mode().IsRegular():
		return nil
	case !info.IsDir():
		return fmt.Errorf("%s is not a regular file: remove it or name another directory", place)
	case b.Add != "":
		return nil
	case b.File:
		return fmt.Errorf("%s is a directory", place)
	}
	entries, err := os.ReadDir(place)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is there already, and not empty: remove it or name another directory", place)
	}
	return nil
}

// bringLimits are the bounds of one run.
type bringLimits struct {
	bytes int64 // of all files
	files int   // directories too
}

func (m *Machine) bringLimits() bringLimits {
	l := bringLimits{m.BringBytes, m.BringFiles}
	if l.bytes == 0 {
		l.bytes = defaultBringBytes
	}
	if l.files == 0 {
		l.files = defaultBringFiles
	}
	return l
}

// collector unpacks what the guest brings back while it arrives.
type collector struct {
	staged *staged
	pipe   *io.PipeWriter
	done   chan error
}

func newCollector(wanted []Bring, limits bringLimits) *collector {
	r, w := io.Pipe()
	c := &collector{staged: &staged{wanted: wanted, limits: limits}, pipe: w, done: make(chan error, 1)}
	go func() {
		err := c.staged.unpack(r)
		r.CloseWithError(err) // lets write go on when unpacking stopped early
		c.done <- err
	}()
	return c
}

// write takes a piece of the stream. An error of the unpacking shows in close.
func (c *collector) write(p []byte) { _, _ = c.pipe.Write(p) }

// close ends the stream, and moves what arrived to its place if all of it did: cause is
// why the stream ends.
func (c *collector) close(cause error, patience time.Duration) error {
	c.pipe.CloseWithError(cause)
	select {
	case err := <-c.done:
		if err == nil && cause != io.EOF {
			err = cause
		}
		if err == nil {
			err = c.staged.commit()
		}
		c.staged.remove()
		if err != nil {
			return fmt.Errorf("bring files back: %w", err)
		}
		return nil
	case <-time.After(patience):
		return errors.New("bring files back: the file system here does not answer")
	}
}

// staged is what has arrived, in a new directory in the one that each belongs into.
type staged struct {
	wanted []Bring
	limits bringLimits

	areas map[int]*area // by the index in wanted
	bytes int64
	files int
}

// area is the new directory for one wanted thing.
type area struct {
	directory *os.Root // that it goes into
	made      []string // directories that were made for it, the outermost first
	name      string   // of the new directory in it
	root      *os.Root // the new directory
	modes     []mode   // that directories get in the end
}

type mode struct {
	name string
	mode fs.FileMode
}

// unpack reads a gzip'd tar stream into new directories.
func (s *staged) unpack(stream io.Reader) error {
	r := bufio.NewReader(stream) // gzip takes no byte too many from one that can give one
	packed, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	packed.Multistream(false)
	// A header takes half a kilobyte, one of a long name a few.
	in := &limitReader{packed, s.limits.bytes + 8<<10*int64(s.limits.files) + 1<<20}
	archive := tar.NewReader(in)
	for {
		header, err := archive.Next()
		if err == io.EOF {
			// The gzip trailer is behind the archive's end.
			if _, err := io.Copy(io.Discard, in); err != nil {
				return err
			}
			return nothingMore(r)
		}
		if err != nil {
			return err
		}
		if err := s.entry(archive, header); err != nil {
			return fmt.Errorf("the guest sent %.200q: %w", header.Name, err)
		}
	}
}

// nothingMore refuses bytes behind the stream's end.
func nothingMore(r io.ByteReader) error {
	switch _, err := r.ReadByte(); err {
	case nil:
		return errors.New("the guest sent more than one archive")
	case io.EOF:
		return nil
	default:
		return err
	}
}

// limitReader gives an error at its bound, where [io.LimitedReader] ends quietly.
type limitReader struct {
	r    io.Reader
	left int64
}

func (l *limitReader) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errors.New("the guest sent more than may be brought back")
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}

// entry writes one entry, named INDEX/NAME.
func (s *staged) entry(archive io.Reader, header *tar.Header) error {
	i, name, err := s.place(header)
	if err != nil {
		return err
	}
	b := s.wanted[i]
	isDir := header.Typeflag == tar.TypeDir
	switch {
	case header.Typeflag != tar.TypeReg && !isDir:
		return fmt.Errorf("refused: %s", typeName(header.Typeflag))
	case isDir && b.File:
		return errors.New("refused: a directory, where a file was asked for")
	case isDir && header.Size != 0, header.Size < 0:
		return fmt.Errorf("refused: a size of %d bytes", header.Size)
	}
	if s.files++; s.files > s.limits.files {
		return fmt.Errorf("refused: more than %d files and directories", s.limits.files)
	}
	if header.Size > s.limits.bytes-s.bytes {
		return fmt.Errorf("refused: more than %d bytes in all", s.limits.bytes)
	}
	s.bytes += header.Size
	a, err := s.area(i)
	if err != nil {
		return err
	}
	perm := fs.FileMode(0o666)
	if isDir {
		perm = 0o777
	}
	if b.Modes {
		perm = header.FileInfo().Mode().Perm()
	}
	if isDir {
		if b.Modes {
			a.modes = append(a.modes, mode{name, perm})
			perm = 0o700 // until all is in it
		}
		return a.root.Mkdir(name, perm)
	}
	return a.write(name, perm, b.Modes, archive, header.Size)
}

// place takes an entry's name apart, and refuses one that was not asked for.
func (s *staged) place(header *tar.Header) (index int, name string, err error) {
	number, name, _ := strings.Cut(strings.TrimSuffix(header.Name, "/"), "/")
	i, err := strconv.Atoi(number)
	if err != nil || i < 0 || i >= len(s.wanted) || strconv.Itoa(i) != number {
		return 0, "", errors.New("refused: it was not requested")
	}
	if err := guest.CheckBringName(name); err != nil {
		return 0, "", fmt.Errorf("refused: %w", err)
	}
	if first, _, _ := strings.Cut(name, "/"); first != s.wanted[i].name() {
		return 0, "", fmt.Errorf("refused: %s was asked for", s.wanted[i].Guest)
	}
	return i, name, nil
}

func typeName(flag byte) string {
	switch flag {
	case tar.TypeSymlink:
		return "a symbolic link"
	case tar.TypeLink:
		return "a hard link"
	case tar.TypeChar, tar.TypeBlock:
		return "a device"
	case tar.TypeFifo:
		return "a named pipe"
	}
	return fmt.Sprintf("an entry of type %q", flag)
}

// area gives the new directory for a wanted thing.
func (s *staged) area(i int) (*area, error) {
	if a := s.areas[i]; a != nil {
		return a, nil
	}
	a := new(area)
	if s.areas == nil {
		s.areas = make(map[int]*area)
	}
	s.areas[i] = a // also where making it fails half-way: remove takes it away
	return a, a.make(s.wanted[i].Directory)
}

func (a *area) make(directory string) (err error) {
	if a.made, err = missing(directory); err != nil {
		return err
	}
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	if a.directory, err = os.OpenRoot(directory); err != nil {
		return err
	}
	// The name is unique and the mode 0700; beside the target, so that it can be renamed.
	made, err := os.MkdirTemp(directory, ".kmodtrace-get-")
	if err != nil {
		return err
	}
	a.name = filepath.Base(made)
	a.root, err = a.directory.OpenRoot(a.name)
	return err
}

// missing lists the directories of a path that are not there, the outermost first.
func missing(dir string) (names []string, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		names = append(names, dir)
	}
	slices.Reverse(names)
	return names, nil
}

func (a *area) write(name string, perm fs.FileMode, keep bool, content io.Reader, size int64) error {
	f, err := a.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, io.LimitReader(content, size))
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	if err == nil && keep {
		err = f.Chmod(perm) // whatever the umask
	}
	return errors.Join(err, f.Close())
}

// commit moves everything to its place. What may not be replaced is found before
// anything is moved.
func (s *staged) commit() error {
	for i, a := range s.areas {
		for _, m := range slices.Backward(a.modes) {
			if err := a.root.Chmod(m.name, m.mode); err != nil {
				return err
			}
		}
		b := s.wanted[i]
		info, err := a.directory.Lstat(b.name())
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = b.mayReplace(info, filepath.Join(b.Directory, b.name()))
		}
		if err == nil {
			err = a.checkKind(b, info)
		}
		if err != nil {
			return err
		}
	}
	for i, a := range s.areas {
		if err := a.commit(s.wanted[i]); err != nil {
			return err
		}
	}
	return nil
}

func (a *area) commit(b Bring) error {
	name := b.name()
	from := filepath.Join(a.name, name)
	there, err := a.directory.Lstat(name)
	if err != nil || b.Add == "" || !there.IsDir() {
		if err == nil && there.IsDir() {
			if err := a.directory.Remove(name); err != nil { // only an empty one can be
				return err
			}
		}
		return a.directory.Rename(from, name)
	}
	entries, err := fs.ReadDir(a.root.FS(), name)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		to := filepath.Join(name, entry.Name())
		if _, err := a.directory.Lstat(to); err == nil {
			continue // ours stays
		}
		if err := a.directory.Rename(filepath.Join(from, entry.Name()), to); err != nil {
			return err
		}
	}
	return nil
}

// checkKind refuses a directory for a file that is there, and the reverse.
func (a *area) checkKind(b Bring, there fs.FileInfo) error {
	sent, err := a.root.Lstat(b.name())
	switch {
	case err != nil:
		return err
	case sent.IsDir() != there.IsDir():
		return fmt.Errorf("%s: one of what is there and what the guest sent is a directory", filepath.Join(b.Directory, b.name()))
	case there.IsDir() && b.Add != "":
		return a.checkAdded(b)
	}
	return nil
}

// checkAdded refuses files that may not be added to a directory that is there.
func (a *area) checkAdded(b Bring) error {
	entries, err := fs.ReadDir(a.root.FS(), b.name())
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if ok, err := path.Match(b.Add, entry.Name()); entry.IsDir() || !ok || err != nil {
			return fmt.Errorf("the guest sent %.200q: refused: it was not requested", entry.Name())
		}
	}
	return nil
}

// remove takes the new directories away, and those that were made for nothing.
func (s *staged) remove() {
	for _, a := range s.areas {
		if a.root != nil {
			_ = a.root.Close()
		}
		if a.directory != nil {
			for _, m := range a.modes { // or their files could not be removed
				_ = a.directory.Chmod(filepath.Join(a.name, m.name), 0o700)
			}
			if a.name != "" {
				_ = a.directory.RemoveAll(a.name)
			}
			_ = a.directory.Close()
		}
	}
	for _, a := range s.areas {
		for _, dir := range slices.Backward(a.made) {
			_ = os.Remove(dir) // one that holds something stays
		}
	}
}
