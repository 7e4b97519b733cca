//go:build !race

package kernel

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/koimage"
)

// TestHostileFiles: what is not a boot image, no list of exports and no configuration is
// refused in one line, and a device or a pipe is not waited for.
func TestHostileFiles(t *testing.T) {
	const release = "6.12.0"
	dir := t.TempDir()
	names, err := koimage.HostileDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.Contains(name, "bomb") || strings.HasPrefix(name, "sparse") { // root's own files have larger bounds
			continue
		}
		root := t.TempDir()
		for _, path := range []string{"boot/vmlinuz-", "boot/System.map-", "boot/config-", "boot/symvers-"} {
			path = filepath.Join(root, path+release)
			if name == "link to proc kmsg.ko" && path != filepath.Join(root, "boot/vmlinuz-"+release) { // each is waited for
				continue
			}
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(filepath.Join(dir, name), path); err != nil {
				t.Fatal(err)
			}
		}
		k, err := Open(&Options{Root: root, Release: release})
		if err != nil {
			if !strings.Contains(err.Error(), "no such kernel is installed") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: %v", name, err)
			}
			continue
		}
		_, imageErr := k.readBootImage()
		if imageErr == nil {
			t.Errorf("%q: taken for a boot image", name)
		}
		_, symbolErr := k.Symbol("printk")
		_, configErr := k.Config("CONFIG_MODULES")
		for _, err := range []error{imageErr, symbolErr, configErr} {
			if err != nil && (strings.Contains(err.Error(), "\n") || len(err.Error()) > 3000) {
				t.Errorf("%q: not one clear line: %.700q", name, err)
			}
		}
	}
}

func TestConfigThatIsABomb(t *testing.T) {
	k := running(files{"proc/config.gz": gzipped(t, strings.Repeat("0", maxFile+1))}).open(t)
	if got, err := k.Config("CONFIG_ON"); !errors.Is(err, ErrUnknown) {
		t.Errorf("%q, %v", got, err)
	}
}
