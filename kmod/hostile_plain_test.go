//go:build !race

package kmod

import (
	"errors"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/koimage"
)

// TestHostileFiles: each file that an attacker may leave is read to an end, in bounds, with
// one clear line where it is not a module.
func TestHostileFiles(t *testing.T) {
	dir := t.TempDir()
	names, err := koimage.HostileDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 50 {
		t.Fatalf("%d files", len(names))
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		var f *File
		var err error
		began := time.Now()
		used := allocated(func() { f, err = Inspect(path) })
		switch {
		case (f == nil) == (err == nil):
			t.Errorf("%q: %v, %v", name, f, err)
		case err != nil && strings.Contains(err.Error(), "\n"), err != nil && len(err.Error()) > 600:
			t.Errorf("%q: not one clear line: %.700q", name, err)
		case used > 512<<20: // freed or not; TestPeak has what is there at once
			t.Errorf("%q: %d MiB allocated", name, used>>20)
		}
		t.Logf("%-42q %6d ms %4d MiB %v", name, time.Since(began).Milliseconds(), used>>20, err)
	}
}

// TestReadImageBounds: what has all of a module in memory refuses what is none before it is.
func TestReadImageBounds(t *testing.T) {
	dir := t.TempDir()
	if _, err := koimage.HostileDir(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gzip bomb", "xz bomb", "zstd bomb", "sparse 1 TiB", "sparse gzip 900 MiB", "sparse xz 900 MiB"} {
		var err error
		used := allocated(func() { _, err = ReadImage(filepath.Join(dir, name+".ko")) })
		if err == nil || used > 512<<20 {
			t.Errorf("%s: %d MiB allocated, %v", name, used>>20, err)
		}
		if strings.HasSuffix(name, "bomb") && !errors.Is(err, ErrTooBig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBombs gives small files that would grow without end, or ask for gigabytes.
func TestBombs(t *testing.T) {
	zeroes := make([]byte, 20<<20)
	for compression, data := range packed(t, zeroes) {
		if compression == Plain {
			continue
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Parse(data)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrTooBig) {
			t.Errorf("%v: %d bytes to %d: %v", compression, len(data), len(zeroes), err)
		}
		limit := uint64(maxUnpacked(int64(len(data))))
		if used := after.TotalAlloc - before.TotalAlloc; used > 12*limit { // growing a buffer copies it; under the race detector twice
			t.Errorf("%v: allocated %d MiB for a limit of %d MiB", compression, used>>20, limit>>20)
		}
	}
}
