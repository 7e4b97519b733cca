package cause

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// maxWriters bounds what is said about a file that is open for writing.
const maxWriters = 5

// writers finds the processes that have a file open for writing, as far as /proc
// lets this user see. It reads only what the kernel keeps of their descriptors, and opens
// none of their files. It errs when the time is over.
func writers(ctx context.Context, file *tracer.File) ([]string, error) {
	var found []string
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	for _, p := range processes {
		if _, err := strconv.ParseUint(p.Name(), 10, 32); err != nil {
			continue
		}
		process := filepath.Join("/proc", p.Name())
		writes, err := hasOpenForWriting(ctx, process, file)
		if err != nil {
			return found, err
		}
		if !writes {
			continue
		}
		found = append(found, fmt.Sprintf("%s[%s]", procfs.FirstLine(filepath.Join(process, "comm")), p.Name()))
		if len(found) == maxWriters {
			break
		}
	}
	return found, nil
}

// hasOpenForWriting tells whether one of a process's descriptors is of the file, and open for
// writing.
func hasOpenForWriting(ctx context.Context, process string, file *tracer.File) (bool, error) {
	descriptors, _ := os.ReadDir(filepath.Join(process, "fd"))
	for _, d := range descriptors {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		text, err := procfs.ReadFile(filepath.Join(process, "fdinfo", d.Name()), procfs.MaxLine)
		if err != nil {
			continue
		}
		if info := descriptorOf(string(text)); info.writes && info.isOf(process, d.Name(), file) {
			return true, nil
		}
	}
	return false, nil
}

// descriptor is what /proc/PID/fdinfo/N tells.
type descriptor struct {
	writes bool
	mount  string // its id, as in /proc/PID/mountinfo
	inode  string // from 5.14 on
}

func descriptorOf(text string) (d descriptor) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch name {
		case "flags":
			flags, err := strconv.ParseUint(value, 8, 64)
			d.writes = err == nil && flags&uint64(os.O_WRONLY|os.O_RDWR) != 0
		case "mnt_id":
			d.mount = value
		case "ino":
			d.inode = value
		}
	}
	return d
}

// isOf tells whether a descriptor is of the file. In another mount namespace another file may have its
// path, and the file another path: the device and the inode decide. Where one of them is not to be had,
// the path decides, and says nothing about another mount namespace than this process's own.
func (d descriptor) isOf(process, number string, file *tracer.File) bool {
	device, ok := deviceOfMount(process, d.mount)
	if ok && device != file.Device || d.inode != "" && d.inode != strconv.FormatUint(file.Inode, 10) {
		return false
	}
	if ok && d.inode != "" {
		return true
	}
	if d.inode == "" && !sharesMounts(process) {
		return false
	}
	target, err := os.Readlink(filepath.Join(process, "fd", number))
	return err == nil && target == file.Path
}

func sharesMounts(process string) bool {
	theirs, err := os.Readlink(filepath.Join(process, "ns/mnt"))
	ours, err2 := os.Readlink("/proc/self/ns/mnt")
	return err == nil && err2 == nil && theirs == ours
}

// deviceOfMount gives the device of a mount of a process's namespace; false for one that is not there,
// as those of the kernel itself.
func deviceOfMount(process, id string) (tracer.Device, bool) {
	text, err := procfs.ReadFile(filepath.Join(process, "mountinfo"), procfs.MaxLine)
	if err != nil {
		return tracer.Device{}, false
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line) // id, parent, device, ...: proc_pid_mountinfo(5)
		if len(fields) < 3 || fields[0] != id {
			continue
		}
		major, minor, _ := strings.Cut(fields[2], ":")
		a, err := strconv.ParseUint(major, 10, 32)
		b, err2 := strconv.ParseUint(minor, 10, 32)
		return tracer.Device{Major: uint32(a), Minor: uint32(b)}, err == nil && err2 == nil
	}
	return tracer.Device{}, false
}
