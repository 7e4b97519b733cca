package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// A snapshot is a machine that has booted, and whose guest waits to be told what to run.
// To go on from there takes a second where a boot takes eight under emulation.
//
// It is kept in two files: what is in the guest's memory, without its zeros, and QEMU's
// state of its devices. Each run gets a copy of the memory, so that no QEMU can change what others
// start from. What belongs to one run (its task, its files) comes as a payload, in the
// memory of a device; the time, and fresh randomness, by the results port.
//
// Its name is made of all that went into it. Whatever differs, a file of the guest's by
// its change time, makes another one.
type snapshot struct {
	dir    string
	index  snapshotIndex
	memory *os.File // without a name: this run's
	state  *os.File
}

// snapshotIndex says what a snapshot's files have to be. It is written last.
type snapshotIndex struct {
	Memory  int64    // bytes that the guest has
	Extents []extent // of the guest's memory, in the order of the file
	State   int64    // bytes
	Sum     uint32   // CRC-32C of both files
}

// extent is a part of the guest's memory that is not zero.
type extent struct{ Offset, Size int64 }

const (
	snapshotFormat = "2" // of the files, and of what the guest expects
	indexFile      = "index.json"
	memoryFile     = "memory"
	stateFile      = "state"

	// payloadSize is that of the device's memory, which is a power of two and takes room
	// in the machine's addresses. A larger payload boots.
	payloadSize = 256 << 20
	// maxSnapshots is what those of one architecture may take on the disk: some twenty.
	maxSnapshots = 4 << 30
	// memoryStep is the unit of the guest's memory.
	memoryStep = 128 // MiB
	maxState   = 64 << 20
	maxMemory  = 1 << 40
)

// restorable says whether the machine can start from a snapshot. KVM boots in a second
// as it is; a command line is for the kernel to see, and systemd and a disk for the boot.
func (m Machine) restorable() bool {
	return !m.Boot && m.Accel == TCG && m.Init == "" && m.Append == "" && m.Disk == "" && !m.Bare
}

// ensureSnapshot opens a machine's snapshot, and makes it where there is none.
func (b *base) ensureSnapshot(ctx context.Context) (*snapshot, error) {
	dir := b.dir()
	if s, err := openSnapshot(dir); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, err
	}
	unlock, err := lockFile(ctx, dir+lockSuffix, b.machine.progress())
	if err != nil {
		return nil, err
	}
	defer unlock()
	s, err := openSnapshot(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	start := time.Now()
	fmt.Fprintf(b.machine.progress(), "booting %s once, for its snapshot\n", b.machine.Kernel.Release)
	if err := b.make(ctx, dir); err != nil {
		return nil, err
	}
	_, _ = tidy(filepath.Dir(dir), maxSnapshots) // what cannot be removed now can be next time
	fmt.Fprintf(b.machine.progress(), "made a snapshot of %s in %.1f s\n", b.machine.Kernel.Release, time.Since(start).Seconds())
	return openSnapshot(dir)
}

// damagedError is a snapshot that is not what was written.
type damagedError struct{ dir, why string }

func (e *damagedError) Error() string { return fmt.Sprintf("snapshot %s: %s", e.dir, e.why) }

// openSnapshot copies the memory of a snapshot for one run, and checks it meanwhile. The
// error is fs.ErrNotExist where there is none, and a *damagedError.
func openSnapshot(dir string) (_ *snapshot, err error) {
	if err := checkOwners(dir, trustedUsers()); err != nil {
		return nil, err
	}
	done, err := use(dir)
	if err != nil {
		return nil, err
	}
	defer done() // an open file and a copy outlive a removal
	s := &snapshot{dir: dir}
	text, err := os.ReadFile(filepath.Join(dir, indexFile))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &s.index); err != nil {
		return nil, &damagedError{dir, err.Error()}
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	sum, err := s.copyMemory()
	if err != nil {
		return nil, damaged(dir, err)
	}
	if s.state, err = os.Open(filepath.Join(dir, stateFile)); err != nil {
		return nil, damaged(dir, err)
	}
	state, err := io.ReadAll(io.LimitReader(s.state, maxState+1))
	if err != nil {
		return nil, damaged(dir, err)
	}
	if _, err := s.state.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	sum = crc32.Update(sum, castagnoli(), state)
	if int64(len(state)) != s.index.State || sum != s.index.Sum {
		return nil, &damagedError{dir, "its files are not those that were written"}
	}
	return s, nil
}

// damaged is an error of a file that should be there: one that is not is no sign that
// there is no snapshot.
func damaged(dir string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &damagedError{dir, err.Error()}
	}
	return err
}

func (s *snapshot) close() {
	for _, f := range []*os.File{s.memory, s.state} {
		if f != nil {
			_ = f.Close()
		}
	}
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// copyMemory gives this run its memory, and the sum of what is in it.
func (s *snapshot) copyMemory() (sum uint32, err error) {
	from, err := os.Open(filepath.Join(s.dir, memoryFile))
	if err != nil {
		return 0, err
	}
	defer from.Close()
	if err := s.index.check(); err != nil {
		return 0, &damagedError{s.dir, err.Error()}
	}
	if s.memory, err = newMemory("kmodtrace-memory", s.index.Memory); err != nil {
		return 0, err
	}
	to, err := unix.Mmap(int(s.memory.Fd()), 0, int(s.index.Memory), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return 0, fmt.Errorf("memory of the guest: %w", err)
	}
	defer unix.Munmap(to)
	for _, e := range s.index.Extents {
		part := to[e.Offset : e.Offset+e.Size]
		if _, err := io.ReadFull(from, part); err != nil {
			return 0, err
		}
		sum = crc32.Update(sum, castagnoli(), part)
	}
	return sum, nil
}

// check refuses what no index has.
func (x snapshotIndex) check() error {
	if x.Memory <= 0 || x.Memory > maxMemory {
		return fmt.Errorf("its memory has %d bytes", x.Memory)
	}
	end := int64(0)
	for _, e := range x.Extents {
		if e.Size <= 0 || e.Offset < end || e.Size > x.Memory-e.Offset {
			return fmt.Errorf("%d bytes at %d of its memory", e.Size, e.Offset)
		}
		end = e.Offset + e.Size
	}
	return nil
}

// newMemory makes a file that is nowhere but in memory, and cannot change its size.
func newMemory(name string, size int64) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("memory of the guest: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	err = f.Truncate(size)
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("memory of the guest: %w", err)
	}
	return f, nil
}

// discardSnapshot removes one that was not a good. One that somebody is opening stays until the
// next who finds it so.
func discardSnapshot(dir string) error {
	c, err := openCleaner(filepath.Dir(dir))
	if err != nil {
		return err
	}
	defer c.root.Close()
	_, err = c.remove(filepath.Base(dir), "no good")
	return err
}
