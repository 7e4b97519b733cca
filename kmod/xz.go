package kmod

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

const (
	xzMagic     = "\xfd7zXZ\x00"
	xzHeaderLen = 12
	xzLZMA2     = 0x21
)

var errXzHeader = errors.New("damaged header")

// xzCheck gives the kind of checksum of an xz file: 0 none, 1 CRC32, 4 CRC64, 10 SHA-256.
func xzCheck(data []byte) byte {
	if len(data) < xzHeaderLen {
		return 0xff
	}
	return data[7]
}

// xzReader reads one xz stream. The container is read here, and only its LZMA2 content by
// the library ulikunitz/xz. No well-kept library bounds the dictionary: that one's reader of
// containers allocates whatever a block asks for, up to 4 GiB (its DictCap is a minimum), and
// a damaged file must not take that. xi2/xz and the copy of it at therootcompany/xz have a
// bound, and no release since 2017 and 2020.
type xzReader struct {
	file  io.ReaderAt
	size  int64
	in    *countedReader
	check byte
	block io.Reader // nil between blocks
	begun int64     // where the block's content begins in the file
	sum   hash.Hash // of the block's content; nil where there is none that is known
	err   error
}

// countedReader knows how much was read of it.
type countedReader struct {
	*bufio.Reader
	n int64
}

func (r *countedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n += int64(n)
	return n, err
}

func newXzReader(file io.ReaderAt, size int64) (*xzReader, error) {
	r := &xzReader{file: file, size: size, in: &countedReader{Reader: bufio.NewReader(io.NewSectionReader(file, 0, size))}}
	head := make([]byte, xzHeaderLen)
	if _, err := io.ReadFull(r.in, head); err != nil || crc32.ChecksumIEEE(head[6:8]) != binary.LittleEndian.Uint32(head[8:]) {
		return nil, errXzHeader
	}
	r.check = xzCheck(head)
	return r, nil
}

func (r *xzReader) Read(p []byte) (int, error) {
	for r.err == nil {
		if r.block == nil {
			if r.err = r.beginBlock(); r.err != nil {
				break
			}
		}
		n, err := r.block.Read(p)
		if r.sum != nil {
			r.sum.Write(p[:n])
		}
		switch {
		case err == io.EOF:
			r.err = r.endBlock()
		case err != nil:
			r.err = err
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, r.err
}

// beginBlock errs with io.EOF where there is no further block.
func (r *xzReader) beginBlock() error {
	dictionary, err := readXzBlockHeader(r.in)
	if err != nil {
		return err
	}
	if dictionary == 0 {
		return io.EOF
	}
	r.begun, r.sum = r.in.n, newXzHash(r.check)
	// A dictionary is allocated for each block, and of blocks a file can have many: none
	// needs more than the block's content.
	need := max(min(dictionary, r.lzma2Size(min(dictionary, maxWindow+1))), lzma.MinDictCap)
	if need > maxWindow {
		return errWindow
	}
	r.block, err = lzma.Reader2Config{DictCap: int(need)}.NewReader2(r.in)
	return err
}

// lzma2Size adds up what the chunks of a block say that they become, up to where they
// make no sense or are enough.
func (r *xzReader) lzma2Size(enough int64) int64 {
	const lzmaChunk, reset, withProperties = 0x80, 2, 0xc0
	total, head := int64(0), make([]byte, 5)
	for at := r.begun; total < enough; {
		n, _ := r.file.ReadAt(head[:min(int64(len(head)), max(r.size-at, 0))], at)
		if n < 3 || head[0] == 0 {
			break
		}
		control, size := head[0], 1+int64(binary.BigEndian.Uint16(head[1:]))
		header, packed := int64(3), size
		switch {
		case control >= lzmaChunk:
			if n < len(head) {
				return total
			}
			size += int64(control&0x1f) << 16
			header, packed = 5, 1+int64(binary.BigEndian.Uint16(head[3:]))
			if control >= withProperties {
				header++
			}
		case control > reset:
			return total
		}
		total += size
		at += header + packed
	}
	return total
}

// endBlock reads a block's padding and checksum.
func (r *xzReader) endBlock() error {
	r.block = nil
	padding := -(r.in.n - r.begun) & 3
	tail := make([]byte, int(padding)+xzCheckLen(r.check))
	if _, err := io.ReadFull(r.in, tail); err != nil {
		return io.ErrUnexpectedEOF
	}
	if r.sum != nil && !bytes.Equal(r.sum.Sum(nil), tail[padding:]) {
		return errors.New("wrong checksum")
	}
	return nil
}

// readXzBlockHeader gives the size of the dictionary of the next block, 0 at the end.
func readXzBlockHeader(in io.Reader) (int64, error) {
	var size [1]byte
	if _, err := io.ReadFull(in, size[:]); err != nil {
		return 0, io.ErrUnexpectedEOF
	}
	if size[0] == 0 { // the index follows: it adds nothing that the checksums do not tell
		return 0, nil
	}
	header := make([]byte, 4*(int(size[0])+1))
	header[0] = size[0]
	if _, err := io.ReadFull(in, header[1:]); err != nil {
		return 0, io.ErrUnexpectedEOF
	}
	body, sum := header[:len(header)-4], header[len(header)-4:]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(sum) {
		return 0, errXzHeader
	}
	return xzDictionary(body)
}

// xzDictionary reads the filters of a block's header: LZMA2 alone is understood.
func xzDictionary(header []byte) (int64, error) {
	flags, fields := header[1], bytes.NewReader(header[2:])
	for _, present := range []byte{0x40, 0x80} { // sizes, packed and not
		if flags&present == 0 {
			continue
		}
		if _, err := binary.ReadUvarint(fields); err != nil {
			return 0, errXzHeader
		}
	}
	filter, err := binary.ReadUvarint(fields)
	if err != nil {
		return 0, errXzHeader
	}
	if flags&3 != 0 || filter != xzLZMA2 {
		return 0, fmt.Errorf("filter %#x: %w", filter, errors.ErrUnsupported)
	}
	properties := make([]byte, 2) // their length, then the dictionary's size
	if _, err := io.ReadFull(fields, properties); err != nil || properties[0] != 1 {
		return 0, errXzHeader
	}
	size, err := lzma.DecodeDictCap(properties[1])
	return max(size, lzma.MinDictCap), err
}

// xzCheckLen gives the length of a checksum, of the kinds known and those reserved.
func xzCheckLen(check byte) int {
	if check == 0 || check > 15 {
		return 0
	}
	return 4 << ((check - 1) / 3)
}

// newXzHash gives the checksum of a kind as the file stores it, or nil where there is
// none that is known.
func newXzHash(check byte) hash.Hash {
	switch check {
	case 1:
		return littleEndian{crc32.NewIEEE()}
	case 4:
		return littleEndian{crc64.New(crc64.MakeTable(crc64.ECMA))}
	case 10:
		return sha256.New()
	}
	return nil
}

// littleEndian turns round the sum of a CRC, which Go gives big-endian.
type littleEndian struct{ hash.Hash }

func (h littleEndian) Sum(b []byte) []byte {
	sum := h.Hash.Sum(nil)
	for i, j := 0, len(sum)-1; i < j; i, j = i+1, j-1 {
		sum[i], sum[j] = sum[j], sum[i]
	}
	return append(b, sum...)
}
