//go:build !race

package kernel

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// realKernels gives the roots of kernels in the lab's cache.
func realKernels(t testing.TB) []string {
	t.Helper()
	cache := os.Getenv("KMODTRACE_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			t.Skipf("no real kernels: %v", err)
		}
		cache = filepath.Join(user, "kmodtrace")
	}
	found, err := filepath.Glob(filepath.Join(cache, "kernels", "*", "*", "kernel.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Skip("no real kernels: none in the lab's cache (`kmodtrace lab kernels` tells how to get one)")
	}
	for i := range found {
		found[i] = filepath.Dir(found[i])
	}
	return found
}

// TestRealKernels asks kernels that are installed and not running: everything about their exports, their
// keys and their modules comes from files.
func TestRealKernels(t *testing.T) {
	for _, root := range realKernels(t) {
		release := filepath.Base(root)
		t.Run(release, func(t *testing.T) {
			k, err := Open(&Options{Root: root, Release: release})
			if err != nil {
				t.Fatal(err)
			}
			elf := k.Machine() != "aarch64" // whose images do not tell where their tables are
			if elf {
				checkRealExports(t, k, filepath.Join(root, "headers/usr/src/linux-headers-"+release, "Module.symvers"))
			}
			f, image := installedFile(t, k, "dummy")
			if got := mustImage(t, k).vermagic; got != f.Value("vermagic") {
				t.Errorf("vermagic %q, modules have %q", got, f.Value("vermagic"))
			}
			if err := k.Verify(image); err != nil {
				t.Error(err)
			}
			changed := bytes.Clone(image)
			changed[len(changed)/2] ^= 1
			if err := k.Verify(changed); !errors.Is(err, ErrSignature) {
				t.Errorf("changed: %v", err)
			}
			for _, want := range f.Imports {
				got, err := k.Symbol(want.Name)
				if elf && (err != nil || want.CRC != nil && !sameCRC(got.CRC, want.CRC)) || !elf && !errors.Is(err, ErrUnknown) {
					t.Errorf("%+v: %+v, %v", want, got, err)
				}
			}
		})
	}
}

func mustImage(t *testing.T, k *Kernel) *bootImage {
	t.Helper()
	image, err := k.image()
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// checkRealExports compares an image's tables with what the build wrote down.
func checkRealExports(t *testing.T, k *Kernel, symvers string) {
	t.Helper()
	got, err := k.imageExports()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(symvers)
	if err != nil {
		t.Logf("nothing to compare exports with: %v", err)
		return
	}
	want := parseSymvers(string(text), symvers)
	if len(got) != len(want) {
		t.Errorf("%d exports in the image, %d in %s", len(got), len(want), symvers)
	}
	for name, w := range want {
		g, ok := got[name]
		if !ok || *g.GPL != *w.GPL || g.Namespace != w.Namespace || !sameCRC(g.CRC, w.CRC) {
			t.Errorf("%+v in the image, %+v in %s", g, w, symvers)
		}
	}
}

// BenchmarkBootImage unpacks the kernels of the lab's cache and reads what is wanted of them.
func BenchmarkBootImage(b *testing.B) {
	for _, root := range realKernels(b) {
		release := filepath.Base(root)
		k, err := Open(&Options{Root: root, Release: release})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(release, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.readBootImage(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
