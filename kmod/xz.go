package kmod

import (
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

// unpackXz reads one xz stream. The container is read here, and only its LZMA2 content
// by the library: the library's own container reader allocates whatever dictionary a
// block asks for, up to 4 GiB, and a damaged file must not take that.
func unpackXz(data []byte, limit int) ([]byte, error) {
	if len(data) < xzHeaderLen || crc32.ChecksumIEEE(data[6:8]) != binary.LittleEndian.Uint32(data[8:]) {
		return nil, errXzHeader
	}
	in := bytes.NewReader(data[xzHeaderLen:])
	var out bytes.Buffer
	for {
		dictionary, err := readXzBlockHeader(in)
		if err != nil || dictionary == 0 { // 0: no more blocks
			return out.Bytes(), err
		}
		// A dictionary is allocated for each block, and of blocks a file can have many.
		size := lzma2Size(data[len(data)-in.Len():])
		if size > limit-out.Len() {
			return nil, fmt.Errorf("%w: more than %d bytes when decompressed", ErrTooBig, limit)
		}
		if err := unpackXzBlock(&out, in, max(min(dictionary, size), lzma.MinDictCap), limit, xzCheck(data)); err != nil {
			return nil, err
		}
	}
}

// lzma2Size adds up what the chunks of a block say that they become, up to where they
// make no sense.
func lzma2Size(data []byte) int {
	const lzmaChunk, reset, withProperties = 0x80, 2, 0xc0
	total := 0
	for len(data) >= 3 && data[0] != 0 {
		control, size := data[0], 1+int(binary.BigEndian.Uint16(data[1:]))
		head, packed := 3, size
		switch {
		case control >= lzmaChunk:
			if len(data) < 5 {
				return total
			}
			size += int(control&0x1f) << 16
			head, packed = 5, 1+int(binary.BigEndian.Uint16(data[3:]))
			if control >= withProperties {
				head++
			}
		case control > reset:
			return total
		}
		total += size
		data = data[min(head+packed, len(data)):]
	}
	return total
}

// unpackXzBlock reads one block's content, padding and checksum.
func unpackXzBlock(out *bytes.Buffer, in *bytes.Reader, dictionary, limit int, check byte) error {
	start, before := out.Len(), in.Len()
	r, err := lzma.Reader2Config{DictCap: dictionary}.NewReader2(in)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, io.LimitReader(r, int64(limit-start)+1)); err != nil {
		return err
	}
	if out.Len() > limit {
		return fmt.Errorf("%w: more than %d bytes when decompressed", ErrTooBig, limit)
	}
	padding := -(before - in.Len()) & 3
	sum := newXzHash(check)
	tail := make([]byte, padding+xzCheckLen(check))
	if _, err := io.ReadFull(in, tail); err != nil {
		return io.ErrUnexpectedEOF
	}
	if sum == nil {
		return nil
	}
	sum.Write(out.Bytes()[start:])
	if !bytes.Equal(sum.Sum(nil), tail[padding:]) {
		return errors.New("wrong checksum")
	}
	return nil
}

// readXzBlockHeader gives the size of the dictionary of the next block, 0 at the end.
func readXzBlockHeader(in *bytes.Reader) (int, error) {
	size, err := in.ReadByte()
	if err != nil {
		return 0, io.ErrUnexpectedEOF
	}
	if size == 0 { // the index follows: it adds nothing that the checksums do not tell
		return 0, nil
	}
	header := make([]byte, 4*(int(size)+1))
	header[0] = size
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
func xzDictionary(header []byte) (int, error) {
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
	return int(max(size, lzma.MinDictCap)), err
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
