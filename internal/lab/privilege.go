package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// supply is what a machine starts from: an image to boot, or the state of one that was
// saved.
type supply struct {
	image *os.File // nil for a machine that is restored

	// Of a machine that is saved or restored.
	memory, payload *os.File
	monitor         *os.File
	restore         func(context.Context) error // has QEMU read the state; nil for one that is saved
	started         func()                      // called when the guest has started the command
}

// start starts QEMU with only what it needs: descriptors of the files, a user of its own
// where this one is root, and a sandbox.
func (m Machine) start(ctx context.Context, q qemu, s supply, console, read *os.File) (*process, error) {
	if !q.sandbox {
		fmt.Fprintln(m.progress(), "note: QEMU runs without its sandbox: it was built without, or this kernel has no seccomp")
	}
	opened, disk, err := m.openFiles(s.image)
	defer closeAll(opened)
	defer closeAll(disk)
	if err != nil {
		return nil, err
	}
	l := launch{path: q.path, console: read}
	if len(disk) > 0 {
		l.disk = sizeOf(disk[0])
	}
	equip := func() {
		var h hardware
		h, l.files = m.equip(s, opened, console, disk)
		l.args = q.args(h)
	}
	users, why := qemuUsers(os.Geteuid(), m.Accel)
	if err := forEverybody(q.path); err != nil && len(users) > 0 {
		users, why = nil, err
	}
	for _, as := range users {
		if err = lend(opened, as); err != nil {
			why = err
			continue
		}
		l.as = as
		equip()
		p, err := startQEMU(ctx, l)
		if err == nil || !refusedUser(err) {
			return p, err
		}
		why = err
	}
	if why != nil {
		fmt.Fprintf(m.progress(), "note: QEMU runs as root: %v\n", why)
	}
	l.as = nil
	equip()
	return startQEMU(ctx, l)
}

// equip gives the machine its descriptors, by number and as files from 3 on.
func (m Machine) equip(s supply, opened []*os.File, console *os.File, disk []*os.File) (hardware, []*os.File) {
	var files []*os.File
	add := func(f *os.File) int {
		if f == nil {
			return 0
		}
		files = append(files, f)
		return 2 + len(files)
	}
	h := hardware{memory: m.Memory, cpus: m.CPUs, accel: m.Accel, append: m.Append}
	h.kernel = add(opened[0])
	if len(opened) > 1 {
		h.image = add(opened[1])
	}
	h.console = add(console)
	for i, f := range disk {
		if n := add(f); i == 0 {
			h.disk = n
		}
	}
	h.ram, h.payload, h.monitor, h.restore = add(s.memory), add(s.payload), add(s.monitor), s.restore != nil
	return h, files
}

// openFiles opens the kernel and the image, and the disk, as QEMU gets them. The image
// cannot be written through its descriptor.
func (m Machine) openFiles(image *os.File) (files, disk []*os.File, err error) {
	kernel, err := os.Open(m.Kernel.Image)
	if err != nil {
		return nil, nil, fmt.Errorf("kernel: %w", err)
	}
	files = append(files, kernel)
	if image != nil {
		readOnly, err := os.Open(descriptorPath(int(image.Fd())))
		if err != nil {
			return files, nil, fmt.Errorf("image: %w", err)
		}
		files = append(files, readOnly)
	}
	if m.Disk == "" {
		return files, nil, nil
	}
	// QEMU wants it twice: it chooses by what it is about to do.
	for _, mode := range []int{os.O_RDWR, os.O_RDONLY} {
		f, err := os.OpenFile(m.Disk, mode, 0)
		if err != nil {
			return files, disk, fmt.Errorf("disk: %w", err)
		}
		disk = append(disk, f)
	}
	return files, disk, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

func sizeOf(f *os.File) int64 {
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// qemuUsers are whom QEMU may run as, the best first; none where this process is not
// root, or where only root may use KVM: then the error says so. The first is a user whom
// nobody else is: what runs as nobody could look into the machine.
func qemuUsers(euid int, accel Accel) ([]*syscall.Credential, error) {
	if euid != 0 {
		return nil, nil
	}
	groups := []uint32{}
	if accel == KVM {
		info, err := os.Stat("/dev/kvm")
		if err != nil {
			return nil, err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		switch {
		case info.Mode().Perm()&0o006 == 0o006:
		case ok && info.Mode().Perm()&0o060 == 0o060 && st.Gid != 0:
			groups = append(groups, st.Gid)
		default:
			return nil, errors.New("only root may use /dev/kvm")
		}
	}
	var users []*syscall.Credential
	for _, id := range []uint32{unusedUser + uint32(os.Getpid()%unusedUsers), nobody} {
		users = append(users, &syscall.Credential{Uid: id, Gid: id, Groups: groups})
	}
	return users, nil
}

const (
	// By convention no user has these numbers: they are above those that programs give to
	// services, and below those that useradd gives to users' containers.
	unusedUser  = 65600
	unusedUsers = 30000
	nobody      = 65534
)

// forEverybody says whether any user may run a program.
func forEverybody(program string) error {
	path, err := filepath.EvalSymlinks(program)
	if err != nil {
		return err
	}
	for at := path; at != "/"; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o001 == 0 {
			return fmt.Errorf("only some users may enter or run %s", at)
		}
	}
	return nil
}

// refusedUser says whether a program could not be started because of who it was to be.
func refusedUser(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EINVAL)
}

// lend makes files readable for QEMU's user, who opens them anew. One that has a name
// keeps its mode, and is copied where that does not allow it.
func lend(files []*os.File, as *syscall.Credential) error {
	for i, f := range files {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		switch {
		case info.Mode().Perm()&0o004 != 0:
			continue
		case !ok || st.Nlink > 0:
			if files[i], err = namelessCopy(f); err != nil {
				return err
			}
			_ = f.Close()
			f = files[i]
		}
		if err := f.Chmod(0o440); err != nil {
			return err
		}
		if err := f.Chown(0, int(as.Gid)); err != nil {
			return err
		}
	}
	return nil
}

// namelessCopy gives a copy without a name, to read.
func namelessCopy(f *os.File) (*os.File, error) {
	to, err := namelessFile("kmodtrace-kernel-")
	if err != nil {
		return nil, err
	}
	defer to.Close()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	if _, err := io.Copy(to, f); err != nil {
		return nil, err
	}
	return os.OpenFile(descriptorPath(int(to.Fd())), os.O_RDONLY, 0)
}
