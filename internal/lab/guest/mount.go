package guest

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mount is one file system of the guest.
type mount struct {
	kind, at string
	flags    uintptr
	data     string
	optional bool // some kernels are built without it
}

// mounts are in an order that makes each mount point before its use. /tmp and /run
// stay on the root, which is in memory anyway: the image may have filled them.
var mounts = [...]mount{
	{kind: "proc", at: "/proc", flags: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	{kind: "sysfs", at: "/sys", flags: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	{kind: "devtmpfs", at: "/dev", flags: unix.MS_NOSUID},
	{kind: "devpts", at: "/dev/pts", flags: unix.MS_NOSUID | unix.MS_NOEXEC, data: "ptmxmode=0666", optional: true},
	{kind: "tmpfs", at: "/dev/shm", flags: unix.MS_NOSUID | unix.MS_NODEV, data: "mode=1777"},
	{kind: "tracefs", at: "/sys/kernel/tracing", optional: true},
	{kind: "debugfs", at: "/sys/kernel/debug", optional: true},
	{kind: "securityfs", at: "/sys/kernel/security", optional: true},
	{kind: "bpf", at: "/sys/fs/bpf", optional: true},
	{kind: "cgroup2", at: "/sys/fs/cgroup", optional: true},
}

func (m mount) do() error {
	err := os.MkdirAll(m.at, 0o755)
	if err == nil {
		err = unix.Mount(m.kind, m.at, m.kind, m.flags, m.data)
	}
	if m.optional && (errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EPERM)) {
		return nil // not in this kernel, or its mount point is not
	}
	if err != nil {
		return fmt.Errorf("mount %s at %s: %w", m.kind, m.at, err)
	}
	return nil
}

func mountAll() error {
	for _, m := range mounts {
		if err := m.do(); err != nil {
			return err
		}
	}
	return nil
}

// linkDevices makes the links that a real system's udev makes in /dev.
func linkDevices() error {
	links := [...][2]string{
		{"/proc/self/fd", "/dev/fd"},
		{"/proc/self/fd/0", "/dev/stdin"},
		{"/proc/self/fd/1", "/dev/stdout"},
		{"/proc/self/fd/2", "/dev/stderr"},
	}
	for _, l := range links {
		if err := os.Symlink(l[0], l[1]); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}
