package kmod

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

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

// maxImage bounds a module in memory. The largest real ones, drivers of graphics cards
// with their debugging information, stay below it; the kernel's own bound is 2 GiB.
const maxImage = 1 << 30

// maxUnpacked bounds what a compressed file may become: real modules shrink to a tenth
// at best, so a file that grows 64-fold is a bomb. Small files may grow to 16 MiB.
func maxUnpacked(packed int) int { return min(maxImage, 16<<20+64*packed) }

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

// unpack gives the module inside a file's bytes: the same bytes where it is plain.
func unpack(data []byte) ([]byte, Compression, error) {
	var image []byte
	var err error
	compression := compressionOf(data)
	limit := maxUnpacked(len(data))
	switch compression {
	case Gzip:
		image, err = unpackGzip(data, limit)
	case Xz:
		image, err = unpackXz(data, limit)
	case Zstd:
		image, err = unpackZstd(data, limit)
	default:
		return data, Plain, nil
	}
	if err == nil || errors.Is(err, ErrTooBig) {
		return image, compression, err
	}
	return nil, compression, fmt.Errorf("%w: decompress %v: %w", ErrCompression, compression, err)
}

func unpackGzip(data []byte, limit int) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return readBounded(r, limit)
}

func unpackZstd(data []byte, limit int) ([]byte, error) {
	r, err := zstd.NewReader(bytes.NewReader(data),
		zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(uint64(limit)))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return readBounded(r, limit)
}

// readBounded reads to the end, or errs with ErrTooBig past the limit.
func readBounded(r io.Reader, limit int) ([]byte, error) {
	var out bytes.Buffer
	n, err := io.Copy(&out, io.LimitReader(r, int64(limit)+1))
	if n > int64(limit) {
		return nil, fmt.Errorf("%w: more than %d bytes when decompressed", ErrTooBig, limit)
	}
	return out.Bytes(), err
}
