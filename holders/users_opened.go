package holders

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/internal/wire"
	"golang.org/x/sys/unix"
)

// openedFile is a file that the iterator found, and the device of the file system
// that it lies in.
type openedFile struct {
	User
	onDevice string
}

// findOpened asks for the open files of all tasks of this pid namespace.
func findOpened(module string, most int) ([]openedFile, error) {
	records, err := iterateOpened(module, most)
	if err != nil && !errors.Is(err, ErrMoreUsers) {
		return nil, fmt.Errorf("%w: %w", ErrOpenFiles, err)
	}
	if !procfs.InFirstPIDNamespace() {
		err = errors.Join(err, ErrNamespace)
	}
	seen := make(map[[2]uint32]bool)
	var files []openedFile
	for i := range records {
		key := [2]uint32{records[i].Tid, records[i].Fd}
		if !seen[key] {
			seen[key] = true
			files = append(files, newOpenedFile(&records[i]))
		}
	}
	return files, err
}

func iterateOpened(module string, most int) ([]usersOpened, error) {
	if err := haveReading(); err != nil {
		return nil, err
	}
	spec, err := loadUsers()
	if err != nil {
		return nil, fmt.Errorf("read programs: %w", err)
	}
	coll, err := loadWanted(spec, module)
	if err != nil {
		return nil, err
	}
	defer coll.Close()
	return runIterator(coll.Programs[usersProgIterateTaskFile], most)
}

func runIterator(p *ebpf.Program, most int) ([]usersOpened, error) {
	l, err := link.AttachIter(link.IterOptions{Program: p})
	if err != nil {
		return nil, fmt.Errorf("attach iterator: %w", err)
	}
	defer l.Close()
	r, err := l.Open()
	if err != nil {
		return nil, fmt.Errorf("open iterator: %w", err)
	}
	defer r.Close()
	return readOpened(r, most)
}

// readOpened reads records until there are no more, or too many.
func readOpened(r io.Reader, most int) ([]usersOpened, error) {
	var records []usersOpened
	in := bufio.NewReaderSize(r, 1<<16)
	raw := make([]byte, binary.Size(usersOpened{}))
	for {
		switch _, err := io.ReadFull(in, raw); {
		case errors.Is(err, io.EOF):
			return records, nil
		case err != nil:
			return records, fmt.Errorf("read iterator: %w", err)
		case len(records) >= most:
			return records, fmt.Errorf("%w: %d", ErrMoreUsers, most)
		}
		record, err := wire.View[usersOpened](raw)
		if err != nil {
			return records, err
		}
		records = append(records, *record)
	}
}

func newOpenedFile(r *usersOpened) openedFile {
	fd := int(r.Fd)
	f := openedFile{
		User: User{
			Holds: true,
			PID:   r.Pid,
			Start: time.Duration(r.Start),
			Comm:  wire.Text(r.Comm[:]),
			FD:    &fd,
		},
		onDevice: deviceText(r.Dev),
	}
	if r.Tid != r.Pid {
		f.TID = r.Tid
	}
	f.Kind, f.Detail = usage(r)
	if format := r.Mode & syscall.S_IFMT; format == syscall.S_IFCHR || format == syscall.S_IFBLK {
		f.Device = deviceText(r.Rdev)
	}
	f.Path, f.Gone = openedPath(r)
	return f
}

// usage says by what a file uses the module.
func usage(r *usersOpened) (Kind, string) {
	socket := fmt.Sprintf("address family %d, protocol %d", r.Family, r.Protocol)
	switch usersUsage(r.Usage) {
	case usersUsageUSAGE_DISK:
		return OpenBlockDevice, ""
	case usersUsageUSAGE_SOCKET, usersUsageUSAGE_PROTOCOL:
		return OpenSocket, socket
	case usersUsageUSAGE_CONGESTION:
		return OpenSocket, "congestion control of TCP"
	case usersUsageUSAGE_LAYER:
		return OpenSocket, "on top of TCP"
	case usersUsageUSAGE_FILESYSTEM:
		return FileOnMount, ""
	}
	if r.Mode&syscall.S_IFMT == syscall.S_IFCHR {
		return OpenFile, "character device"
	}
	return OpenFile, ""
}

// deviceText gives the kernel's own number of a device, which is not that of
// stat(2).
func deviceText(dev uint32) string { return fmt.Sprintf("%d:%d", dev>>20, dev&(1<<20-1)) }

// openedPath looks an open file's path up. The process may have ended since, or
// be another by now: the inode tells. It is asked for without the file system's
// server, which may not answer.
func openedPath(r *usersOpened) (path string, gone bool) {
	name := "/proc/" + strconv.Itoa(int(r.Pid)) + "/task/" + strconv.Itoa(int(r.Tid)) + "/fd/" + strconv.Itoa(int(r.Fd))
	path, err := os.Readlink(name)
	if err != nil {
		return "", true
	}
	var stat unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, name, unix.AT_STATX_DONT_SYNC, unix.STATX_INO, &stat); err != nil || stat.Ino != r.Ino {
		return "", true
	}
	return wire.Printable(path), false
}
