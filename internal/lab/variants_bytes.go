package lab

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math/rand/v2"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// keepPercent cuts a file short.
func keepPercent(percent int) func([]byte) ([]byte, error) {
	return func(file []byte) ([]byte, error) { return file[:len(file)*percent/100], nil }
}

// randomBytes gives bytes that mean nothing, the same ones each time.
func randomBytes(size int) func([]byte) ([]byte, error) {
	return func([]byte) ([]byte, error) {
		source := rand.New(rand.NewPCG(1, 2))
		file := make([]byte, size)
		for i := range file {
			file[i] = byte(source.Uint32())
		}
		return file, nil
	}
}

// literal gives the text.
func literal(s string) func([]byte) ([]byte, error) {
	return func([]byte) ([]byte, error) { return []byte(s), nil }
}

// packXz compresses as the kernel's own unpacking wants it: of xz's checksums it
// knows CRC32 alone.
func packXz(file []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := xz.WriterConfig{CheckSum: xz.CRC32}.NewWriter(&out)
	return pack(&out, w, err, file)
}

func packGzip(file []byte) ([]byte, error) {
	var out bytes.Buffer
	return pack(&out, gzip.NewWriter(&out), nil, file)
}

func packZstd(file []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	return pack(&out, w, err, file)
}

// pack writes the file to a compressor that was made, or was not.
func pack(out *bytes.Buffer, w io.WriteCloser, err error, file []byte) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	_, err = w.Write(file)
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil // not before Close, which writes the rest
}

// spoilMiddle changes some bytes in the middle of a file, far from its magic.
func spoilMiddle(file []byte) ([]byte, error) {
	if len(file) < 256 {
		return nil, errors.New("too short")
	}
	for i := range 16 {
		file[len(file)/2+i] ^= 0xff
	}
	return file, nil
}
