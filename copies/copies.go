// Package copies keeps the contents of modules' files, by their SHA-256, within a bound. A copy is compressed behind a line of
// its own: neither the kernel nor modprobe takes it for a module.
//
// A copy is there whole or not at all: it gets its name when its hash was computed and is what it must be, and its bytes are
// on the disk.
package copies

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/kmodtrace/kmodtrace/internal/place"
)

// Errors that are told apart.
var (
	// ErrNone: there is no copy of that content.
	ErrNone = errors.New("no copy of it is kept")
	// ErrDamaged: a copy is not what its name says.
	ErrDamaged = errors.New("the copy is damaged")
)

const (
	magic  = "kmodtrace copy 1\n"
	suffix = ".copy"
	draft  = ".draft-"
)

// Store is a directory of copies. It is safe for use by several goroutines, of one process.
type Store struct {
	dir  string
	most int64

	mu sync.Mutex
}

// Open makes the directory where it is missing, readable by the owner only. The directory above it must exist. Open removes
// what an earlier process did not finish. most is how many bytes all copies together may take. It errs with [place.ErrUnsafe] where others could replace them.
func Open(dir string, most int64) (*Store, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("copies: %w", err)
	}
	if err := (place.Rules{}).Check(filepath.Join(dir, "x"+suffix)); err != nil {
		return nil, fmt.Errorf("copies: %w", err)
	}
	drafts, err := filepath.Glob(filepath.Join(dir, draft+"*"))
	if err != nil {
		return nil, fmt.Errorf("copies: %w", err)
	}
	for _, name := range drafts {
		if err := os.Remove(name); err != nil {
			return nil, fmt.Errorf("copies: %w", err)
		}
	}
	return &Store{dir: dir, most: most}, nil
}

func isSum(sum string) bool {
	raw, err := hex.DecodeString(sum)
	return err == nil && len(raw) == sha256.Size && strings.ToLower(sum) == sum
}

func (s *Store) path(sum string) string { return filepath.Join(s.dir, sum+suffix) }

// Has tells whether there is a copy of a content, by its SHA-256 in hexadecimal.
func (s *Store) Has(sum string) bool {
	info, err := os.Lstat(s.path(sum))
	return isSum(sum) && err == nil && info.Mode().IsRegular()
}

// Draft is a copy in the making. It is for one goroutine.
type Draft struct {
	store *Store
	file  *os.File
	to    *zstd.Encoder
	hash  hash.Hash
}

// Draft begins a copy.
func (s *Store) Draft() (*Draft, error) {
	f, err := os.CreateTemp(s.dir, draft)
	if err != nil {
		return nil, err
	}
	d := &Draft{store: s, file: f, hash: sha256.New()}
	if _, err = f.WriteString(magic); err == nil {
		d.to, err = zstd.NewWriter(f, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return d, nil
}

// Write adds to it.
func (d *Draft) Write(p []byte) (int, error) {
	d.hash.Write(p)
	return d.to.Write(p)
}

// Keep makes a copy of it, when what was written has that SHA-256. Whatever it returns, the draft is over.
func (d *Draft) Keep(sum string) error {
	err := d.to.Close()
	if got := hex.EncodeToString(d.hash.Sum(nil)); err == nil && got != sum {
		err = fmt.Errorf("what was copied has the SHA-256 %.16s…, and the file had %.16s…", got, sum)
	}
	if err == nil {
		err = d.file.Sync()
	}
	info, statErr := d.file.Stat()
	if err = errors.Join(err, statErr, d.file.Close()); err == nil && info.Size() > d.store.most {
		err = fmt.Errorf("it takes %d bytes, and all copies together may take %d", info.Size(), d.store.most)
	}
	if err == nil {
		err = os.Rename(d.file.Name(), d.store.path(sum))
	}
	if err != nil {
		return errors.Join(err, ignoreMissing(os.Remove(d.file.Name())))
	}
	dir, err := os.Open(d.store.dir)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Drop gives it up. Somebody may still be writing to it, who is left behind.
func (d *Draft) Drop() { _ = os.Remove(d.file.Name()) }

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Trim removes the oldest copies until all together take no more than they may, and gives the SHA-256 of each that it
// removed.
func (s *Store) Trim() (removed []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("copies: %w", err)
	}
	var all []fs.FileInfo
	var total int64
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || !strings.HasSuffix(e.Name(), suffix) {
			continue
		}
		all, total = append(all, info), total+info.Size()
	}
	slices.SortFunc(all, func(a, b fs.FileInfo) int {
		return cmp.Or(a.ModTime().Compare(b.ModTime()), strings.Compare(a.Name(), b.Name()))
	})
	for _, info := range all {
		if total <= s.most {
			break
		}
		if err := os.Remove(filepath.Join(s.dir, info.Name())); err != nil {
			return removed, fmt.Errorf("copies: %w", err)
		}
		total -= info.Size()
		removed = append(removed, strings.TrimSuffix(info.Name(), suffix))
	}
	return removed, nil
}

// Extract writes the content with that SHA-256 from a directory of copies. It errs with [ErrNone] or [ErrDamaged]; what was
// written before that is not the content.
func Extract(dir, sum string, to io.Writer) error {
	if !isSum(sum) {
		return fmt.Errorf("%w: %.80q is no SHA-256", ErrNone, sum)
	}
	f, err := os.Open(filepath.Join(dir, sum+suffix))
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNone
	}
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReader(f)
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(in, head); err != nil || string(head) != magic {
		return fmt.Errorf("%w: it does not begin as one", ErrDamaged)
	}
	d, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return err
	}
	defer d.Close()
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(to, h), d); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != sum {
		return fmt.Errorf("%w: its content has the SHA-256 %s", ErrDamaged, got)
	}
	return nil
}
