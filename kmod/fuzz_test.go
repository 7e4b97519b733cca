package kmod

import (
	"bytes"
	"errors"
	"runtime"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/koimage"
)

// allocated tells what fn allocates, in bytes.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// The memory that reading a file may take. What is allocated is counted, freed or not,
// and so a buffer that grows counts about thrice.
func mayUnpack(file int) uint64 { return 12 * uint64(maxUnpacked(int64(file))) }
func mayParse(image int) uint64 { return 1<<20 + 256*uint64(image) }
func isKnown(err error) bool    { return errors.Is(err, ErrNotModule) || errors.Is(err, ErrTooBig) }
func seeds(f *testing.F) [][]byte {
	all := koimage.Real()
	for _, shape := range []koimage.Module{{}, {Info: []string{"name=x"}}, koimage.Hello(), {Narrow: true}, {BigEndian: true, Flags: true, Extended: true}} {
		image := shape.Bytes()
		all = append(all, koimage.Sign(image, []byte{0x30, 3, 6, 1, 1}))
		for _, data := range packed(f, image) {
			all = append(all, data)
		}
	}
	return all
}

// FuzzParse: no input makes Parse panic, hang or take memory beyond its bounds.
func FuzzParse(f *testing.F) {
	for _, data := range seeds(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var file *File
		var err error
		size := len(data)
		used := allocated(func() { file, err = Parse(data) })
		if (file == nil) == (err == nil) {
			t.Fatalf("file %v, error %v", file, err)
		}
		if err != nil && !isKnown(err) {
			t.Fatalf("an error of no kind: %v", err)
		}
		may := mayParse(size)
		if compressionOf(data) != Plain {
			if file != nil {
				size = file.Size
			}
			may = mayUnpack(len(data)) + mayParse(size)
		}
		if used > may {
			t.Errorf("allocated %d bytes for %d, of at most %d", used, len(data), may)
		}
	})
}

// FuzzUnpack: the same of compression alone, and what is unpacked is in bounds.
func FuzzUnpack(f *testing.F) {
	for _, data := range seeds(f) {
		if compressionOf(data) != Plain {
			f.Add(data)
		}
	}
	for compression, data := range packed(f, make([]byte, 1<<20)) {
		if compression != Plain {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var image []byte
		var compression Compression
		var err error
		used := allocated(func() {
			compression = compressionOf(data)
			image, err = unpacked(data)
		})
		switch {
		case err != nil && !isKnown(err):
			t.Errorf("an error of no kind: %v", err)
		case compression == Plain && !bytes.Equal(image, data):
			t.Errorf("%d bytes of %d", len(image), len(data))
		case compression != Plain && int64(len(image)) > maxUnpacked(int64(len(data))):
			t.Errorf("%d bytes to %d", len(data), len(image))
		}
		if compression != Plain && used > mayUnpack(len(data)) {
			t.Errorf("allocated %d bytes for %d, of at most %d", used, len(data), mayUnpack(len(data)))
		}
	})
}
