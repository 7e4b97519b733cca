// Package deadfuse mounts a file system whose program never answers, for tests: whoever
// follows a path into it waits for ever.
package deadfuse

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Mount covers a directory with one until the test ends, when all that waits gets an error.
// It skips the test where this user, or this kernel, cannot.
func Mount(t testing.TB, dir string) {
	t.Helper()
	device, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) {
		t.Skipf("no FUSE here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", device.Fd())
	err = unix.Mount("deadfuse", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, options)
	if err != nil {
		device.Close()
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENODEV) {
			t.Skipf("FUSE cannot be mounted here: %v", err)
		}
		t.Fatalf("mount FUSE at %s: %v", dir, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
		device.Close() // which ends the connection, and every wait
	})
}
