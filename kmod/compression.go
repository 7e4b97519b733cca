package kmod

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/klauspost/compress/zstd"
)

//go:generate go tool stringer -type=Compression -linecomment -output=compression_string.go

// Compression is how a module file is packed. The words are those of
// /sys/module/compression.
type Compression uint8

const (
	Plain Compression = iota // none
	Gzip                     // gzip
	Xz                       // xz
	Zstd                     // zstd
)

// MarshalText gives the word.
func (c Compression) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// maxImage bounds a module, decompressed. The largest real ones, drivers of graphics cards
// with their debugging information, stay below it; the kernel's own bound is 2 GiB.
const maxImage = 1 << 30

// maxUnpacked bounds what a compressed file may become: real modules shrink to a tenth
// at best, so a file that grows 16-fold is a bomb. Small files may grow to 16 MiB.
func maxUnpacked(packed int64) int64 { return min(maxImage, 16<<20+16*packed) }

// maxWindow bounds what a decompressor has to keep of what it has written. The kernel's
// build uses 1 MiB for xz and 2 MiB for zstd; xz -7 and zstd -19 fit. The kernel itself sets no bound
// (module_xz_decompress, module_zstd_decompress).
const maxWindow = 16 << 20

// compressionOf looks at the first bytes, as the kernel and libkmod do: names lie.
func compressionOf(data []byte) Compression {
	switch {
	case bytes.HasPrefix(data, []byte{0x1f, 0x8b}):
		return Gzip
	case bytes.HasPrefix(data, []byte(xzMagic)):
		return Xz
	case bytes.HasPrefix(data, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return Zstd
	}
	return Plain
}

// unpacker gives the module inside a file from its beginning, as often as it is asked to.
type unpacker struct {
	file        io.ReaderAt
	size        int64 // of the file
	compression Compression
	zstd        *zstd.Decoder
}

// begin starts to decompress. Errors of the reader are those of the decompressor.
func (u *unpacker) begin() (io.Reader, error) {
	section := io.NewSectionReader(u.file, 0, u.size)
	switch u.compression {
	case Gzip:
		return gzip.NewReader(bufio.NewReader(section))
	case Xz:
		return newXzReader(u.file, u.size)
	}
	if u.zstd != nil { // its window is used again
		return u.zstd, u.zstd.Reset(section)
	}
	r, err := zstd.NewReader(section,
		zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	u.zstd = r
	return r, err
}

func (u *unpacker) close() {
	if u.zstd != nil {
		u.zstd.Close()
	}
}

// failed says what became of decompressing.
func (u *unpacker) failed(err error) error {
	var read *fs.PathError
	switch {
	case errors.Is(err, ErrTooBig):
		return err
	case errors.As(err, &read): // of the file, which may be in order
		return err
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return errWindow
	}
	return fmt.Errorf("%w: decompress %v: %w", ErrCompression, u.compression, err)
}

var errWindow = fmt.Errorf("%w: its compression needs a window of more than %d bytes", ErrTooBig, maxWindow)
