package kmod

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"golang.org/x/sys/unix"
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
	if procfs.FirstLine(filepath.Join(root, "proc/sys/kernel/modules_disabled")) == "1" {
		return fmt.Errorf("%w: kernel.modules_disabled is set until the next boot", ErrNoModules)
	}
	return nil
}

// HavePrivilege tells whether the calling thread has CAP_SYS_MODULE: nil when it has.
// It errs with [fs.ErrPermission] otherwise. In a container the capability may be one of
// another user namespace than the first, which the kernel does not count: only the
// load itself shows that.
func HavePrivilege() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read the capabilities of this thread: %w", err)
	}
	if data[0].Effective&(1<<unix.CAP_SYS_MODULE) == 0 {
		return fmt.Errorf("loading and unloading need CAP_SYS_MODULE: %w", fs.ErrPermission)
	}
	return nil
}

// refusal adds to an errno of any of the system calls what this system tells about it.
func refusal(root string, err error) error {
	switch {
	case errors.Is(err, unix.ENOSYS):
		return because(ErrNoModules, err)
	case !errors.Is(err, unix.EPERM):
		return err
	}
	if unable := haveModules(rooted(root)); unable != nil {
		return because(unable, err)
	}
	if HavePrivilege() != nil {
		return because(errors.New("needs CAP_SYS_MODULE"), err)
	}
	return err
}

// HaveDecompression tells which compressed files the kernel takes as they are, from
// /sys/module/compression. It errs with [errors.ErrUnsupported] where the kernel takes
// none: before 5.17, or without CONFIG_MODULE_DECOMPRESS.
func HaveDecompression() (Compression, error) { return haveDecompression("/") }

func haveDecompression(root string) (Compression, error) {
	word := procfs.FirstLine(filepath.Join(rooted(root), "sys/module/compression"))
	for _, c := range []Compression{Gzip, Xz, Zstd} {
		if word == c.String() {
			return c, nil
		}
	}
	return Plain, fmt.Errorf("decompression of modules in the kernel: %w", errors.ErrUnsupported)
}
