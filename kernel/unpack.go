package kernel

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/pierrec/lz4/v4"
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
		return procfs.ReadBounded(lz4.NewReader(bytes.NewReader(data)), "the kernel in it", maxVmlinux)
	case bytes.HasPrefix(data, []byte("\xfd7zXZ\x00")), bytes.HasPrefix(data, []byte("BZh")),
		bytes.HasPrefix(data, []byte{0x5d, 0, 0}), bytes.HasPrefix(data, []byte("\x89LZO")):
		return nil, errors.New("it is packed by xz, bzip2, lzma or lzo, which is not read here")
	}
	return data, nil
}

// maxVmlinuxWindow is what the kernel's build asks of zstd (--ultra -22).
const maxVmlinuxWindow = 128 << 20

// unpackZstd reads the first frame; the size that follows it is not a frame.
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

// lz4Magic begins the legacy format of lz4, which the kernel's build makes. The library
// takes the unpacked size that the build puts behind it for the end.
var lz4Magic = []byte{0x02, 0x21, 0x4c, 0x18}
