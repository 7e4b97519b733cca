package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/lab/guest"
	"golang.org/x/sys/unix"
)

// saveLimit is how long a boot and a save may take, on the busiest machine.
const saveLimit = 10 * time.Minute

// make boots the base and saves it, whole or not at all.
func (b *base) make(ctx context.Context, dir string) error {
	work := filepath.Join(filepath.Dir(dir), ".build-"+filepath.Base(dir))
	if err := os.RemoveAll(work); err != nil { // of one that was killed: we hold the lock
		return err
	}
	if err := os.Mkdir(work, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := b.save(ctx, work); err != nil {
		return fmt.Errorf("save a machine: %w", err)
	}
	// A file that changed meanwhile would be told as the one that it was.
	again, err := b.machine.newBase(ctx, b.q)
	if err != nil {
		return err
	}
	if again.key != b.key {
		return errors.New("save a machine: what it is made of has changed meanwhile")
	}
	if err := os.Rename(work, dir); err != nil {
		return err
	}
	return syncFile(filepath.Dir(dir))
}

// save boots the base until its guest waits, and puts its state into a directory.
func (b *base) save(ctx context.Context, work string) error {
	ctx, cancel := context.WithTimeout(ctx, saveLimit)
	defer cancel()
	m := b.machine
	image, err := m.makeImage(ctx, m.waiting())
	if err != nil {
		return err
	}
	defer image.Close()
	memory, err := newMemory("kmodtrace-memory", int64(m.Memory)<<20)
	if err != nil {
		return err
	}
	defer memory.Close()
	payload, err := newMemory("kmodtrace-payload", payloadSize)
	if err != nil {
		return err
	}
	defer payload.Close()
	state, err := b.run(ctx, supply{image: image, memory: memory, payload: payload})
	if err != nil {
		return err
	}
	return writeSnapshot(work, memory, state)
}

// run boots until the guest waits, and gives QEMU's state then.
func (b *base) run(ctx context.Context, s supply) ([]byte, error) {
	console, written, err := b.machine.openConsole()
	if err != nil {
		return nil, err
	}
	defer console.close()
	qmp, theirs, err := newMonitor()
	if err != nil {
		written.Close()
		return nil, err
	}
	defer qmp.close()
	s.monitor = theirs
	p, err := b.machine.start(ctx, b.q, s, written, console.read)
	written.Close()
	theirs.Close()
	if err != nil {
		return nil, err
	}
	go console.follow(p.reader(console.read))
	state, err := b.stateOf(ctx, p, qmp)
	waitErr := p.end(err == nil)
	if err == nil && waitErr == nil {
		return state, nil
	}
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		tail, panicked, _ := console.end()
		err = b.machine.judge(ctx, new(session), err, waitErr, p.complaint(), tail, panicked)
	}
	return nil, err
}

func (b *base) stateOf(ctx context.Context, p *process, qmp *monitor) ([]byte, error) {
	if err := awaitCalm(p.reader(p.stdout)); err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var state bytes.Buffer
	read := make(chan error, 1)
	go func() {
		_, err := io.Copy(&state, io.LimitReader(r, maxState+1))
		read <- err
	}()
	err = qmp.save(ctx, w)
	w.Close()
	if err != nil {
		return nil, err
	}
	p.awaitExit() // else QEMU has the pipe open
	if err := <-read; err != nil {
		return nil, err
	}
	if state.Len() == 0 || state.Len() > maxState {
		return nil, fmt.Errorf("QEMU wrote a state of %d bytes", state.Len())
	}
	return state.Bytes(), nil
}

// awaitCalm waits until the guest can be saved, and refuses one whose clock runs at twice
// its speed: under emulation, on a busy machine, a kernel can measure its timer wrongly.
func awaitCalm(port io.Reader) error {
	frames := guest.NewReader(port)
	if err := frames.Sync(); err != nil {
		return err
	}
	began := time.Now()
	if err := frames.Sync(); err != nil {
		return err
	}
	if took := time.Since(began); took < guest.Calm*6/10 {
		return fmt.Errorf("its clock is wrong: a second of the guest took %v", took.Round(time.Millisecond))
	}
	return nil
}

func writeSnapshot(work string, memory *os.File, state []byte) error {
	info, err := memory.Stat()
	if err != nil {
		return err
	}
	from, err := unix.Mmap(int(memory.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	defer unix.Munmap(from)
	x := snapshotIndex{Memory: info.Size(), State: int64(len(state)), Extents: extentsOf(from)}
	err = writeSynced(filepath.Join(work, memoryFile), func(f *os.File) error {
		for _, e := range x.Extents {
			part := from[e.Offset : e.Offset+e.Size]
			x.Sum = crc32.Update(x.Sum, castagnoli(), part)
			if _, err := f.Write(part); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	x.Sum = crc32.Update(x.Sum, castagnoli(), state)
	if err := writeSynced(filepath.Join(work, stateFile), func(f *os.File) error { _, err := f.Write(state); return err }); err != nil {
		return err
	}
	text, err := json.Marshal(x)
	if err != nil {
		return err
	}
	return writeSynced(filepath.Join(work, indexFile), func(f *os.File) error { _, err := f.Write(text); return err })
}

// extentUnit is how much of zeros is left out at once.
const extentUnit = 16 << 10

// extentsOf finds what is not zero.
func extentsOf(memory []byte) (all []extent) {
	var zeros [extentUnit]byte
	for at := 0; at < len(memory); at += extentUnit {
		end := min(at+extentUnit, len(memory))
		if bytes.Equal(memory[at:end], zeros[:end-at]) {
			continue
		}
		if last := len(all) - 1; last >= 0 && all[last].Offset+all[last].Size == int64(at) {
			all[last].Size += int64(end - at)
		} else {
			all = append(all, extent{int64(at), int64(end - at)})
		}
	}
	return all
}

// writeSynced writes a file that is on the disk when it returns: after a power cut, what
// is renamed into its place must be whole.
func writeSynced(name string, write func(*os.File) error) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
