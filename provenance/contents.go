package provenance

import (
	"container/list"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/kmod"
)

// maxSigned bounds the files in which a signature is looked for: a compressed one has to be
// decompressed for it.
const maxSigned = 16 << 20

// read hashes the file that a descriptor (O_PATH) is of. At its path may be another.
func (s *search) read(ctx context.Context, path *os.File) {
	o := s.origin
	d, err := s.digestOf(ctx, path)
	switch {
	case errors.Is(err, errMoved):
		s.failed(Changed, err)
	case err != nil:
		s.failed(Unreadable, err)
	case d.sum == "":
		o.note("not hashed: it has more than %d bytes", s.opts.MaxSize)
	default:
		o.SHA256, o.HashedSize, o.Signer, s.md5 = d.sum, d.size, d.signer, d.md5
	}
}

// digestOf reads the file, unless what is remembered was of this very version of it. It
// gives no sum of one that is too large.
func (s *search) digestOf(ctx context.Context, path *os.File) (digested, error) {
	st, err := statOf(path)
	if err == nil {
		if d, ok := s.contents.get(versionOf(st)); ok {
			return d, nil
		}
	}
	f, err := reopen(path)
	if err != nil {
		return digested{}, fmt.Errorf("it cannot be opened: %w", err)
	}
	defer f.Close()
	before, err := statOf(f)
	if err == nil && before.Size > s.opts.MaxSize {
		return digested{}, nil
	}
	var d digested
	if err == nil {
		d, err = s.digest(ctx, f, before)
	}
	if err != nil && !errors.Is(err, errMoved) {
		err = fmt.Errorf("it cannot be read: %w", err)
	}
	return d, err
}

// failed is for what is the same, and then gave no hash.
func (s *search) failed(state State, err error) {
	if s.origin.State == Same {
		s.origin.State = state
	}
	s.origin.note("%v", err)
}

// reopen opens for reading what is open by O_PATH. Neither a lease of somebody else nor
// anything else may hold it up (O_NONBLOCK), and where that is allowed it leaves no trace.
func reopen(f *os.File) (*os.File, error) {
	const flags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	name := "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
	fd, err := unix.Open(name, flags|unix.O_NOATIME, 0)
	if errors.Is(err, unix.EPERM) {
		fd, err = unix.Open(name, flags, 0)
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// version names a file's contents, as far as its file system keeps track of them.
type version struct {
	dev, ino         uint64
	size             int64
	changed, written int64
}

func versionOf(st *unix.Stat_t) version {
	return version{uint64(st.Dev), st.Ino, st.Size, st.Ctim.Nano(), st.Mtim.Nano()}
}

func statOf(f *os.File) (*unix.Stat_t, error) {
	st := new(unix.Stat_t)
	return st, unix.Fstat(int(f.Fd()), st)
}

// digested is what is remembered of a file's contents.
type digested struct {
	sum    Digest
	md5    string // by which dpkg lists files
	size   int64
	signer string
}

// errMoved: the file did not stay as it was.
var errMoved = errors.New("it was changed while it was read here")

// readSize is how much of a file is read at a time, in bytes.
const readSize = 64 << 10

// digest hashes a file, and remembers that it did.
func (s *search) digest(ctx context.Context, f *os.File, before *unix.Stat_t) (digested, error) {
	v := versionOf(before)
	hash, short := sha256.New(), md5.New()
	n, err := io.CopyBuffer(io.MultiWriter(hash, short), bounded{ctx, io.LimitReader(f, v.size+1)}, make([]byte, min(v.size+1, readSize)))
	if err != nil {
		return digested{}, err
	}
	d := digested{sum: Digest(hex.EncodeToString(hash.Sum(nil))), md5: hex.EncodeToString(short.Sum(nil)), size: v.size}
	if image := s.action.Image; v.size <= maxSigned && (image == nil || image.Signed || image.Format.Compressed()) {
		d.signer = signerOf(boundedAt{ctx, f}, v.size)
	}
	after, err := statOf(f)
	if err != nil {
		return digested{}, err
	}
	if n != v.size || versionOf(after) != v {
		return digested{}, errMoved
	}
	// Within the tick of the clock of file times it could still change unnoticed.
	if time.Since(time.Unix(0, v.changed)) > time.Second {
		s.contents.put(v, d)
	}
	return d, nil
}

// signerOf says whose key a module's signature claims; "" where there is none.
func signerOf(file io.ReaderAt, size int64) string {
	signature, err := kmod.ReadSignature(file, size)
	switch {
	case err != nil || signature == nil:
		return ""
	case signature.Signer != "":
		return signature.Signer
	case signature.KeyID != "":
		return "key " + signature.KeyID
	}
	return ""
}

// bounded is a reader that ends with its context.
type bounded struct {
	ctx context.Context
	r   io.Reader
}

func (b bounded) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.r.Read(p)
}

// boundedAt is bounded for reads at an offset.
type boundedAt struct {
	ctx context.Context
	r   io.ReaderAt
}

func (b boundedAt) ReadAt(p []byte, off int64) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.r.ReadAt(p, off)
}

// contents remembers the latest digests that were asked for.
type contents struct {
	mu    sync.Mutex
	known map[version]*list.Element
	order list.List // of remembered, the latest in front
}

type remembered struct {
	version
	digested
}

const maxRemembered = 1024

func (c *contents) get(v version) (digested, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.known[v]
	if !ok {
		return digested{}, false
	}
	c.order.MoveToFront(e)
	return e.Value.(remembered).digested, true
}

func (c *contents) put(v version, d digested) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil {
		c.known = make(map[version]*list.Element)
	}
	if c.known[v] != nil {
		return // by another goroutine
	}
	c.known[v] = c.order.PushFront(remembered{v, d})
	if c.order.Len() > maxRemembered {
		last := c.order.Remove(c.order.Back()).(remembered)
		delete(c.known, last.version)
	}
}
