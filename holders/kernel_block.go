package holders

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/internal/wire"
	"golang.org/x/sys/unix"
)

// schedulers are the I/O schedulers in use: each disk holds the module of its own, which the
// kernel asked for as NAME-iosched.
func (s *textSources) schedulers() ([]User, error) {
	files, err := filepath.Glob(s.path("sys/block/*/queue/scheduler"))
	if err != nil {
		return nil, err
	}
	var users []User
	for _, file := range files {
		_, rest, _ := strings.Cut(procfs.FirstLine(file), "[") // none mq-deadline [bfq]
		name, _, found := strings.Cut(rest, "]")
		if !found || !s.is(name) && !s.is(name+"-iosched") && !s.serves(name+"-iosched") {
			continue
		}
		disk := filepath.Base(filepath.Dir(filepath.Dir(file)))
		users = append(users, User{
			Kind: IOScheduler, Holds: true, Name: wire.Printable(name), On: wire.Printable(disk),
			LetGo: "echo none >/sys/block/" + shellWord(disk) + "/queue/scheduler",
		})
	}
	return users, nil
}

// swaps are the disks of the module that the kernel swaps to:
//
//	Filename                                Type            Size            Used            Priority
//	/dev/zram0                              partition       65532           0               100
func (s *textSources) swaps() ([]User, error) {
	var users []User
	disks := s.disks()
	err := s.lines(func(line string) {
		fields := strings.Fields(line)
		if len(fields) < 5 || fields[1] != "partition" {
			return
		}
		file := unescapeMount(fields[0])
		device := procfs.FirstLine(s.path("sys/class/block", filepath.Base(file), "dev"))
		if device == "" || !disks(device) {
			return
		}
		users = append(users, User{
			Kind: Swap, Holds: true, Path: wire.Printable(file), Device: wire.Printable(device), LetGo: "swapoff " + shellWord(file),
		})
	}, "proc/swaps")
	return users, err
}

// majors gives the names by which drivers have registered the major numbers of block devices: a
// disk without a device below it, as zram and nbd make them, tells its driver by nothing else.
func (s *textSources) majors() (map[string]string, error) {
	names := make(map[string]string)
	blocks := false
	err := s.lines(func(line string) {
		fields := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "Block devices"):
			blocks = true
		case blocks && len(fields) == 2:
			names[fields[0]] = fields[1]
		}
	}, "proc/devices")
	return names, err
}

// The device mapper's interface (linux/dm-ioctl.h), version 4: the header, and behind it the
// answer.
const (
	dmListDevices = 0xc138fd02 // _IOWR(0xfd, 2, struct dm_ioctl)
	dmTableStatus = 0xc138fd0c // _IOWR(0xfd, 12, struct dm_ioctl)
	dmNoFlush     = 1 << 11    // the target is not to write anything first
	dmInactive    = 1 << 12    // of the table that waits for its turn, which holds modules too
	dmBufferFull  = 1 << 8
	dmMost        = 16 << 20
)

// dmHeader is struct dm_ioctl.
type dmHeader struct {
	Version              [3]uint32
	DataSize, DataStart  uint32
	TargetCount          uint32
	OpenCount            int32
	Flags, Event, unused uint32
	Device               uint64
	Name                 [128]byte
	UUID                 [129]byte
	rest                 [7]byte
}

// targets are the devices of the device mapper whose table has a target of the module, which the
// kernel asked for as dm-TYPE.
func (s *textSources) targets() ([]User, error) {
	if s.root != "/" {
		return nil, nil
	}
	// To open the interface where nobody uses it would load it.
	if used, _ := filepath.Glob("/sys/block/dm-*"); len(used) == 0 {
		return nil, nil
	}
	f, err := dmControl()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := askMapper(f, dmListDevices, 0, "")
	if err != nil {
		return nil, fmt.Errorf("list devices of the device mapper: %w", err)
	}
	var users []User
	for _, name := range mapperNames(list) {
		types, err := mapperTypes(f, name)
		if err != nil {
			return users, fmt.Errorf("read the table of %s: %w", wire.Printable(name), err)
		}
		for _, target := range types {
			if s.is("dm_"+target) || s.serves("dm-"+target) || s.module == "dm_mod" && slices.Contains([]string{"linear", "striped", "error"}, target) {
				users = append(users, User{
					Kind: MapperTarget, Holds: true, Name: wire.Printable(target), On: wire.Printable(name), LetGo: "dmsetup remove " + shellWord(name),
				})
			}
		}
	}
	return users, nil
}

// mapperTypes gives the types of targets of a device, each once.
func mapperTypes(f *os.File, name string) (types []string, err error) {
	for _, table := range []uint32{0, dmInactive} {
		status, err := askMapper(f, dmTableStatus, dmNoFlush|table, name)
		if errors.Is(err, unix.ENXIO) { // gone meanwhile
			break
		}
		if err != nil {
			return types, err
		}
		types = append(types, mapperTargets(status)...)
	}
	slices.Sort(types)
	return slices.Compact(types), nil
}

// dmControl opens the interface, which may have no file where nothing makes files of devices.
func dmControl() (*os.File, error) {
	f, err := os.OpenFile("/dev/mapper/control", os.O_RDWR, 0)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	var major, minor uint32
	if _, err := fmt.Sscanf(procfs.FirstLine("/sys/class/misc/device-mapper/dev"), "%d:%d", &major, &minor); err != nil {
		return nil, fmt.Errorf("device mapper: %w", fs.ErrNotExist)
	}
	dir, err := os.MkdirTemp("", "kmodtrace-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	node := filepath.Join(dir, "control")
	if err := unix.Mknod(node, unix.S_IFCHR|0o600, int(unix.Mkdev(major, minor))); err != nil {
		return nil, fmt.Errorf("device mapper: %w", err)
	}
	return os.OpenFile(node, os.O_RDWR, 0)
}

// askMapper gives what is behind the header of the answer. An answer that finds no room is asked
// for again with more.
func askMapper(f *os.File, request uintptr, flags uint32, name string) ([]byte, error) {
	for size := 64 << 10; ; size *= 4 {
		words := make([]uint64, size/8) // aligned as the header is
		buffer := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), size)
		h := (*dmHeader)(unsafe.Pointer(&words[0]))
		h.Version, h.DataSize, h.DataStart, h.Flags = [3]uint32{4, 0, 0}, uint32(size), uint32(unsafe.Sizeof(*h)), flags
		copy(h.Name[:len(h.Name)-1], name)
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(unsafe.Pointer(h))); errno != 0 {
			return nil, errno
		}
		switch {
		case h.Flags&dmBufferFull == 0:
			start := min(int(h.DataStart), size)
			return buffer[start:max(start, min(int(h.DataSize), size))], nil // no table: it ends in the header
		case size >= dmMost:
			return nil, unix.ENOSPC
		}
	}
}

// mapperNames reads struct dm_name_list: the device, the offset of the next, the name.
func mapperNames(list []byte) (names []string) {
	for len(list) > 12 && binary.NativeEndian.Uint64(list) != 0 {
		next := int(binary.NativeEndian.Uint32(list[8:]))
		names = append(names, string(wire.UntilNUL(list[12:])))
		if next < 12 || next > len(list) {
			break
		}
		list = list[next:]
	}
	return names
}

// mapperTargets reads struct dm_target_spec: where it begins and ends, its status, the offset of
// the next from the first, the type.
func mapperTargets(status []byte) (types []string) {
	const size = 40
	for at := 0; at+size <= len(status); {
		if name := string(wire.UntilNUL(status[at+24 : at+size])); name != "" {
			types = append(types, name)
		}
		next := int(binary.NativeEndian.Uint32(status[at+20:]))
		if next <= at {
			break
		}
		at = next
	}
	return types
}

// shellWord quotes what a shell would not take as one word.
func shellWord(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-:@%+=,", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(wire.Printable(word), "'", `'\''`) + "'"
}
