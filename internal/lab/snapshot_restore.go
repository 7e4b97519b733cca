package lab

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/lab/guest"
	"golang.org/x/sys/unix"
)

// startLimit is how long a restored guest may take until it has started the command, which takes
// it half a second where nothing else is to do. One that does not is booted instead: until then
// nothing was run, and nothing read of standard input. One restored guest in some hundred, on a
// busy machine, was seen to crash where it started the command (QEMU 7.2's emulation gave its
// kernel flags that no instruction sets).
const startLimit = 2 * time.Minute

// restore runs argv in a machine that goes on from a snapshot. Where there is none and
// none can be made, or the guest does not start the command, nothing has been run: it says that
// it is not done, and the machine has to boot.
func (m Machine) restore(ctx context.Context, q qemu, argv []string, r *report, stdout, stderr io.Writer) (done bool, err error) {
	b, s, err := m.openState(ctx, q)
	if err != nil {
		return m.bootInstead(ctx, err)
	}
	defer s.close()
	payload, size, err := b.makePayload(m, m.task(argv))
	if err != nil {
		return m.bootInstead(ctx, err)
	}
	defer payload.Close()
	r.image, r.restored = size, true
	m.Memory = b.machine.Memory

	qmp, theirs, err := newMonitor()
	if err != nil {
		return m.bootInstead(ctx, err)
	}
	defer qmp.close()
	defer theirs.Close()

	limited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var started atomic.Bool
	limit := time.AfterFunc(cmp.Or(m.startLimit, startLimit), func() { cancel(errNotStarted) })
	defer limit.Stop()
	from := supply{memory: s.memory, payload: payload, monitor: theirs,
		restore: func(ctx context.Context) error { return qmp.restore(ctx, s.state) },
		started: func() {
			started.Store(true)
			limit.Stop()
		}}
	err = m.live(limited, q, from, r, stdout, stderr)
	if started.Load() || ctx.Err() != nil {
		return true, err
	}
	if crash := (*CrashError)(nil); errors.As(err, &crash) {
		err = fmt.Errorf("%s; its console ends: %.300q", crash.Reason, crash.Console[strings.LastIndexByte(crash.Console, '\n')+1:])
	}
	r.restored = false
	return m.bootInstead(ctx, errors.Join(fmt.Errorf("%s does not go on from its snapshot, which is removed: %w", m.Kernel.Release, err), discardSnapshot(s.dir)))
}

var errNotStarted = errors.New("its first process does not start the command")

// openState opens the snapshot, and makes it anew where it is damaged.
func (m Machine) openState(ctx context.Context, q qemu) (*base, *snapshot, error) {
	b, err := m.newBase(ctx, q)
	if err != nil {
		return nil, nil, err
	}
	s, err := b.ensureSnapshot(ctx)
	if damage := (*damagedError)(nil); errors.As(err, &damage) {
		fmt.Fprintf(m.progress(), "note: %v: making it anew\n", err)
		if err := discardSnapshot(damage.dir); err != nil {
			return nil, nil, err
		}
		s, err = b.ensureSnapshot(ctx)
	}
	return b, s, err
}

// bootInstead says why there is no restored machine.
func (m Machine) bootInstead(ctx context.Context, why error) (done bool, err error) {
	if ctx.Err() != nil {
		return true, why
	}
	fmt.Fprintf(m.progress(), "note: booting, for there is no snapshot to start from: %v\n", why)
	return false, nil
}

// errPayload is a payload that the device cannot hold.
var errPayload = fmt.Errorf("what the command needs is larger than %d MiB", payloadSize>>20)

// makePayload packs what this run has beside the base. Size is what it takes.
func (b *base) makePayload(m Machine, task guest.Task) (f *os.File, size int64, err error) {
	if f, err = newMemory("kmodtrace-payload", payloadSize); err != nil {
		return nil, 0, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	im := newArchive(f)
	im.have = maps.Clone(b.have)
	delete(im.have, im.clean(guest.TaskPath))
	if err = im.addFiles(m); err == nil {
		err = im.addTask(task)
	}
	if err == nil {
		err = im.close()
	}
	if errors.Is(err, unix.EPERM) { // the seal's
		err = errPayload
	}
	if err != nil {
		return nil, 0, err
	}
	size, err = f.Seek(0, io.SeekCurrent)
	return f, size, err
}

// resumption is the frame that a restored guest waits for.
func resumption(port io.Writer) error {
	r := guest.Resumption{Time: time.Now(), Seed: make([]byte, guest.SeedSize)}
	if _, err := rand.Read(r.Seed); err != nil {
		return err
	}
	return guest.NewWriter(port).WriteJSON(guest.Resume, r)
}
