package kmod

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// HaveModules tells whether this kernel can load modules: nil when it can. It errs
// with [ErrNoModules] when the kernel was built without them (no /proc/modules) or
// kernel.modules_disabled was set, which only a reboot undoes. Privilege is another
// question: CAP_SYS_MODULE is asked for by the load itself.
func HaveModules() error { return haveModules("/") }

func haveModules(root string) error {
	_, err := os.Stat(filepath.Join(root, "proc/modules"))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: it was built without CONFIG_MODULES: %w", ErrNoModules, err)
	}
	if err != nil {
		return err
	}
	if readLine(filepath.Join(root, "proc/sys/kernel/modules_disabled")) == "1" {
		return fmt.Errorf("%w: kernel.modules_disabled is set until the next boot", ErrNoModules)
	}
	return nil
}

// HaveDecompression tells which compressed files the kernel takes as they are, from
// /sys/module/compression. It errs with [errors.ErrUnsupported] where the kernel takes
// none: before 5.17, or without CONFIG_MODULE_DECOMPRESS.
func HaveDecompression() (Compression, error) { return haveDecompression("/") }

func haveDecompression(root string) (Compression, error) {
	word := readLine(filepath.Join(rooted(root), "sys/module/compression"))
	for _, c := range []Compression{Gzip, Xz, Zstd} {
		if word == c.String() {
			return c, nil
		}
	}
	return Plain, fmt.Errorf("decompression of modules in the kernel: %w", errors.ErrUnsupported)
}
