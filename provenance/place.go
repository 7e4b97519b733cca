package provenance

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// releaseOf gives the release of the kernel in whose directory of modules a path is; ""
// for one that is in none. Where /lib is a link to /usr/lib, the kernel's paths begin
// with that.
func releaseOf(path string) string {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(path, "/usr"), "/lib/modules/")
	release, file, in := strings.Cut(rest, "/")
	if !ok || !in || file == "" {
		return ""
	}
	return release
}

// onRoot tells whether the file is in the file system of the root directory.
func (s *search) onRoot() bool {
	var st unix.Stat_t
	if err := unix.Stat(s.opts.Root, &st); err != nil {
		return false
	}
	return !s.fs.ownDevice && deviceOf(&st) == s.action.File.Device
}

func deviceOf(st *unix.Stat_t) tracer.Device {
	return tracer.Device{Major: unix.Major(uint64(st.Dev)), Minor: unix.Minor(uint64(st.Dev))}
}

// maxSlaves bounds how deep disks are made of disks.
const maxSlaves = 8

// removable tells whether a disk can be taken out, or one that it is made of.
func (l *Lookup) removable(d tracer.Device) bool {
	if d.Major == 0 {
		return false // no disk's
	}
	number := strconv.FormatUint(uint64(d.Major), 10) + ":" + strconv.FormatUint(uint64(d.Minor), 10)
	return removableDisk(l.path("sys/dev/block", number), maxSlaves)
}

func removableDisk(link string, depth int) bool {
	dir, err := filepath.EvalSymlinks(link)
	if err != nil || depth == 0 {
		return false
	}
	if onUSB(dir) || procfs.FirstLine(filepath.Join(dir, "removable")) == "1" {
		return true
	}
	if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
		return procfs.FirstLine(filepath.Join(dir, "../removable")) == "1"
	}
	below, _ := os.ReadDir(filepath.Join(dir, "slaves")) // of device mapper and md
	for _, b := range below {
		if removableDisk(filepath.Join(dir, "slaves", b.Name()), depth-1) {
			return true
		}
	}
	return false
}

// onUSB tells a device that hangs on a USB bus: …/usb2/2-1/2-1:1.0/….
func onUSB(dir string) bool {
	for part := range strings.SplitSeq(dir, "/") {
		if number, ok := strings.CutPrefix(part, "usb"); ok {
			if _, err := strconv.ParseUint(number, 10, 16); err == nil {
				return true
			}
		}
	}
	return false
}
