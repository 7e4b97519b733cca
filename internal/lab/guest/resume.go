package guest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"github.com/cavaliergopher/cpio"
	"golang.org/x/sys/unix"
)

// Resumption is what a restored guest has to know before it does anything: it was saved
// some time ago, and others were restored from the same state.
type Resumption struct {
	Time time.Time
	Seed []byte // SeedSize fresh random bytes
}

// SeedSize is what a [Resumption] brings of randomness, in bytes.
const SeedSize = 64

// Calm is how long a booted guest is left alone before it is saved, by its own clock: the
// kernel still has small work to do by then, which would be done again after each restore.
// The guest says when it begins and when it ends, so that the host can tell a clock that
// the kernel has set to a wrong speed, and all that are restored would have.
const Calm = time.Second

// wait says that the guest can be saved, and waits for its resumption. What it is to do
// then comes in the payload. The time from here on is not the time of the save.
func wait(port io.Reader, frames *Writer) (Task, error) {
	if err := frames.Open(); err != nil {
		return Task{}, err
	}
	time.Sleep(Calm)
	if err := frames.Open(); err != nil {
		return Task{}, err
	}
	frame, err := NewReader(port).Next()
	if err != nil {
		return Task{}, fmt.Errorf("wait for the resumption: %w", err)
	}
	var r Resumption
	if frame.Kind != Resume {
		return Task{}, fmt.Errorf("wait for the resumption: %w: %s", ErrGarbage, frame.Kind)
	}
	if err := json.Unmarshal(frame.Payload, &r); err != nil {
		return Task{}, fmt.Errorf("resumption: %w", err)
	}
	if err := r.apply(); err != nil {
		return Task{}, err
	}
	if err := unpackPayload(); err != nil {
		return Task{}, fmt.Errorf("payload: %w", err)
	}
	return readTask()
}

// apply sets the clock and makes the kernel's randomness this guest's own.
func (r Resumption) apply() error {
	now := unix.NsecToTimespec(r.Time.UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &now); err != nil {
		return fmt.Errorf("set the clock to %v: %w", r.Time, err)
	}
	return stir(r.Seed)
}

// stir mixes the seed into the kernel's randomness, as the host's word for entropy, and has
// the kernel use it at once: by itself it takes minutes.
func stir(seed []byte) error {
	f, err := os.OpenFile("/dev/urandom", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	// struct rand_pool_info of linux/random.h
	var pool struct {
		bits, size int32
		bytes      [SeedSize]byte
	}
	if len(seed) != len(pool.bytes) {
		return fmt.Errorf("seed of %d bytes: must be %d", len(seed), len(pool.bytes))
	}
	copy(pool.bytes[:], seed)
	pool.bits, pool.size = int32(8*len(seed)), int32(len(seed))
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.RNDADDENTROPY, uintptr(unsafe.Pointer(&pool))); errno != 0 {
		return fmt.Errorf("add to the kernel's entropy: %w", errno)
	}
	if err := unix.IoctlSetInt(int(f.Fd()), unix.RNDRESEEDCRNG, 0); err != nil {
		return fmt.Errorf("reseed the kernel's random numbers: %w", err)
	}
	return nil
}

// The payload lies in the memory of a device that has nothing else (QEMU's ivshmem-plain):
// it can be mapped without any driver, on every kernel.
const (
	payloadVendor = "0x1af4"
	payloadDevice = "0x1110"
)

// unpackPayload unpacks the archive that the payload is over the root.
func unpackPayload() error {
	device, err := findDevice("/sys/bus/pci/devices", payloadVendor, payloadDevice)
	if err != nil {
		return err
	}
	// The kernel lets a device answer when a driver asks for that, and there is none.
	if err := os.WriteFile(filepath.Join(device, "enable"), []byte("1"), 0); err != nil {
		return err
	}
	memory, err := mapResource(filepath.Join(device, "resource2"))
	if err != nil {
		return err
	}
	defer unix.Munmap(memory)
	return unpack(bytes.NewReader(memory), "/")
}

func findDevice(devices, vendor, device string) (string, error) {
	all, err := os.ReadDir(devices)
	if err != nil {
		return "", err
	}
	is := func(dir, file, want string) bool {
		text, err := os.ReadFile(filepath.Join(dir, file))
		return err == nil && strings.TrimSpace(string(text)) == want
	}
	for _, entry := range all {
		dir := filepath.Join(devices, entry.Name())
		if is(dir, "vendor", vendor) && is(dir, "device", device) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no PCI device %s:%s", vendor, device)
}

// mapResource maps a device's memory, in the way that takes reads of any size where there
// is one (arm64 traps those that are not aligned otherwise).
func mapResource(name string) ([]byte, error) {
	f, err := os.Open(name + "_wc")
	if errors.Is(err, os.ErrNotExist) {
		f, err = os.Open(name)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	memory, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", f.Name(), err)
	}
	return memory, nil
}

// unpack does what the kernel does with an initramfs: what is there already is replaced,
// but for directories.
func unpack(r io.Reader, root string) error {
	archive := cpio.NewReader(r)
	// One buffer for all files: the first use of its pages is what costs in an emulated guest.
	buffer := make([]byte, 64<<10)
	for {
		h, err := archive.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := place(h, archive, path.Join(root, h.Name), buffer); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

// onlyWriter hides ReadFrom, which would bring its own buffer.
type onlyWriter struct{ io.Writer }

func place(h *cpio.Header, content io.Reader, name string, buffer []byte) error {
	mode := h.FileInfo().Mode()
	switch {
	case mode.IsDir():
		if err := os.Mkdir(name, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		return os.Chmod(name, mode.Perm()|mode&(os.ModeSticky|os.ModeSetuid|os.ModeSetgid))
	case mode&os.ModeSymlink != 0:
		return placeLink(h.Linkname, name)
	case mode.IsRegular():
		return placeFile(content, h.Size, name, mode, buffer)
	default:
		return fmt.Errorf("%v is not what the lab packs", mode)
	}
}

func placeLink(target, name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(target, name)
}

func placeFile(content io.Reader, size int64, name string, mode os.FileMode, buffer []byte) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	n, err := io.CopyBuffer(onlyWriter{f}, content, buffer)
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	return errors.Join(err, f.Chmod(mode.Perm()|mode&(os.ModeSetuid|os.ModeSticky)), f.Close())
}
