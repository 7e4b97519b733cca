package kmod

import (
	"fmt"
	"io"
)

// contents is the module in a file, without the file's compression, to be read by parts.
//
// A large module is not kept: it is decompressed from its beginning again for what lies
// before the last part that was read. Who reads its parts in the file's order decompresses
// it twice, once to know its size and whether it is whole.
type contents struct {
	size        int64
	compression Compression
	parts       io.ReaderAt
	unpacker    *unpacker // nil where it is plain
}

const (
	// maxKept is how much of a decompressed module is kept: nearly all real ones fit.
	maxKept = 8 << 20
	// keptTail is how much of the end of a larger one is kept: its signature, its table of
	// sections and the names of these, as a rule.
	keptTail = 1 << 20
)

// openContents looks at a file of a size. What is decompressed is in bounds, and was
// decompressed once to its end.
func openContents(file io.ReaderAt, size int64) (*contents, error) {
	head := make([]byte, xzHeaderLen)
	n, err := file.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	compression := compressionOf(head[:n])
	if compression == Plain {
		return &contents{size: size, parts: file}, nil
	}
	u := &unpacker{file: file, size: size, compression: compression}
	replay := &replay{unpacker: u}
	if err := replay.measure(maxUnpacked(size)); err != nil {
		u.close()
		return nil, u.failed(err)
	}
	return &contents{size: replay.size, compression: compression, parts: replay, unpacker: u}, nil
}

func (c *contents) close() {
	if c.unpacker != nil {
		c.unpacker.close()
	}
}

// read gives a part, which must lie within.
func (c *contents) read(offset, size int64) ([]byte, error) {
	part := make([]byte, size)
	if size == 0 {
		return part, nil
	}
	n, err := c.parts.ReadAt(part, offset)
	switch {
	case n == len(part):
		return part, nil
	case err == nil || err == io.EOF: // the file has become shorter
		err = io.ErrUnexpectedEOF
	}
	return nil, fmt.Errorf("read module: %w", err)
}

// replay reads what a decompressor gives at any place.
type replay struct {
	unpacker *unpacker
	size     int64
	head     []byte   // the first chunk
	kept     [][]byte // chunks from keptAt to the end, all but the last full
	keptAt   int64
	r        io.Reader // nil before the first part that is not kept
	at       int64     // where r is
}

const chunkSize = 64 << 10

// measure decompresses to the end, and keeps all up to maxKept or the end of what is more.
func (p *replay) measure(limit int64) error {
	r, err := p.unpacker.begin()
	if err != nil {
		return err
	}
	var free []byte
	for {
		chunk := free
		if chunk == nil {
			chunk = make([]byte, chunkSize)
		}
		n, err := io.ReadFull(r, chunk)
		if p.size += int64(n); p.size > limit {
			return fmt.Errorf("%w: more than %d bytes when decompressed", ErrTooBig, limit)
		}
		free = p.keep(chunk[:n])
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return p.ended(r)
		default:
			return err
		}
	}
}

// ended tells the end of a decompressor from a file that is cut short, which [io.ReadFull]
// does not.
func (p *replay) ended(r io.Reader) error {
	if _, err := r.Read(make([]byte, 1)); err != io.EOF {
		return err
	}
	return nil
}

// keep adds a chunk, and gives one back that is kept no longer.
func (p *replay) keep(chunk []byte) (free []byte) {
	if p.size <= maxKept {
		p.kept = append(p.kept, chunk)
		return nil
	}
	if p.head == nil { // from here on only the end is kept
		p.head = p.kept[0]
		p.dropTo(keptTail / chunkSize)
	}
	p.kept = append(p.kept, chunk)
	return p.dropTo(keptTail / chunkSize)
}

// dropTo keeps the last n chunks, and gives one of the others.
func (p *replay) dropTo(n int) (dropped []byte) {
	over := len(p.kept) - n
	if over <= 0 {
		return nil
	}
	if &p.kept[0][0] != &p.head[0] {
		dropped = p.kept[0]
	}
	p.keptAt += int64(over) * chunkSize
	p.kept = append(make([][]byte, 0, n+1), p.kept[over:]...)
	return dropped
}

// ReadAt reads from what is kept, or decompresses up to there.
func (p *replay) ReadAt(b []byte, off int64) (int, error) {
	switch {
	case off >= p.size:
		return 0, io.EOF
	case off >= p.keptAt:
		return p.readKept(b, off)
	case off+int64(len(b)) <= int64(len(p.head)):
		return copy(b, p.head[off:]), nil
	case p.r == nil || off < p.at:
		r, err := p.unpacker.begin()
		if err != nil {
			return 0, p.unpacker.failed(err)
		}
		p.r, p.at = r, 0
	}
	skipped, err := io.CopyN(io.Discard, p.r, off-p.at)
	p.at += skipped
	n := 0
	if err == nil {
		n, err = io.ReadFull(p.r, b)
		p.at += int64(n)
	}
	switch {
	case err == nil:
		return n, nil
	case off+int64(n) == p.size:
		return n, io.EOF
	}
	return n, p.unpacker.failed(err)
}

func (p *replay) readKept(b []byte, off int64) (int, error) {
	n := 0
	for n < len(b) && off < p.size {
		at := off - p.keptAt
		copied := copy(b[n:], p.kept[at/chunkSize][at%chunkSize:])
		n, off = n+copied, off+int64(copied)
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}
