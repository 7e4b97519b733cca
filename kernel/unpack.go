package kernel

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/kmodtrace/kmodtrace/internal/procfs"
)

// unpackVmlinux unpacks a kernel by its first bytes: gzip, zstd or lz4, or plain. What
// follows the packed data (its size, put there by the build) is left alone.
func unpackVmlinux(data []byte) ([]byte, error) {
	switch {
	case bytes.HasPrefix(data, []byte{0x1f, 0x8b}):
		r, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		r.Multistream(false)
		return procfs.ReadBounded(r, "the kernel in it", maxVmlinux)
	case bytes.HasPrefix(data, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return unpackZstd(data)
	case bytes.HasPrefix(data, lz4Magic):
		return unpackLZ4(data[len(lz4Magic):])
	case bytes.HasPrefix(data, []byte("\xfd7zXZ\x00")), bytes.HasPrefix(data, []byte("BZh")),
		bytes.HasPrefix(data, []byte{0x5d, 0, 0}), bytes.HasPrefix(data, []byte("\x89LZO")):
		return nil, errors.New("it is packed by xz, bzip2, lzma or lzo, which is not read here")
	}
	return data, nil
}

// maxVmlinuxWindow is what the kernel's build asks of zstd (--ultra -22).
const maxVmlinuxWindow = 128 << 20

// unpackZstd reads the first frame; the size that follows it is no frame.
func unpackZstd(data []byte) ([]byte, error) {
	r, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxVmlinuxWindow))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var out bytes.Buffer
	n, err := io.Copy(&out, io.LimitReader(r, maxVmlinux+1))
	switch {
	case n > maxVmlinux:
		return nil, errors.New("it unpacks to more than 512 MiB")
	case err != nil && !errors.Is(err, zstd.ErrMagicMismatch) && !errors.Is(err, io.ErrUnexpectedEOF):
		return nil, err
	case err != nil && !bytes.HasPrefix(out.Bytes(), []byte("\x7fELF")):
		return nil, err
	}
	return out.Bytes(), nil
}

// lz4Magic begins the format that the kernel's build makes, lz4's legacy one: blocks
// with their packed size before each, of 8 MiB unpacked but for the last.
var lz4Magic = []byte{0x02, 0x21, 0x4c, 0x18}

const lz4Block = 8 << 20

var errLZ4 = errors.New("damaged lz4 data")

func unpackLZ4(data []byte) ([]byte, error) {
	var out []byte
	for len(data) > 4 { // the last four bytes are the unpacked size
		size := uint64(binary.LittleEndian.Uint32(data))
		if size == 0 || size > uint64(len(data)-4) {
			return nil, errLZ4
		}
		if len(out) > maxVmlinux-lz4Block {
			return nil, errors.New("it unpacks to more than 512 MiB")
		}
		var err error
		if out, err = unpackLZ4Block(out, data[4:4+size]); err != nil {
			return nil, err
		}
		data = data[4+size:]
	}
	return out, nil
}

// unpackLZ4Block appends one block: sequences of a token (lengths, four bits each), literals, and a
// distance back from where bytes are repeated; the last ends after its literals.
func unpackLZ4Block(out, in []byte) ([]byte, error) {
	start := len(out)
	for {
		if len(in) == 0 {
			return nil, errLZ4
		}
		token := in[0]
		literals, rest, ok := lz4Length(int(token>>4), in[1:])
		if !ok || literals > len(rest) || len(out)-start+literals > lz4Block {
			return nil, errLZ4
		}
		out, in = append(out, rest[:literals]...), rest[literals:]
		if len(in) == 0 {
			return out, nil
		}
		if len(in) < 2 {
			return nil, errLZ4
		}
		back := int(binary.LittleEndian.Uint16(in))
		length, rest, ok := lz4Length(int(token&15), in[2:])
		length += 4
		if !ok || back == 0 || back > len(out)-start || len(out)-start+length > lz4Block {
			return nil, errLZ4
		}
		in = rest
		for length > 0 { // what is repeated may overlap what it makes
			n := min(length, back)
			from := len(out) - back
			out = append(out, out[from:from+n]...)
			length -= n
		}
	}
}

// lz4Length reads the bytes that continue a length of 15.
func lz4Length(n int, in []byte) (length int, rest []byte, ok bool) {
	if n < 15 {
		return n, in, true
	}
	for i, b := range in {
		if n += int(b); n > lz4Block {
			return 0, nil, false
		}
		if b != 255 {
			return n, in[i+1:], true
		}
	}
	return 0, nil, false
}
