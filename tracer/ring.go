package tracer

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"
)

// ring is the kernel's ring of events. [ringbuf.Reader] would wait in a system call, and
// while a thread does, the Go runtime looks after it, every 20 µs at first: with a few
// hundred actions a second that takes longer than to read them. Here the runtime's own
// poller waits.
type ring struct {
	reader *ringbuf.Reader
	file   *os.File // the same ring, for the poller
	conn   syscall.RawConn
	closed atomic.Bool
}

// gatherFor is how long an empty ring is left alone when something comes: an action has a
// dozen events, and to be woken for each costs more than to read it.
const gatherFor = 2 * time.Millisecond

func openRing(m *ebpf.Map) (_ *ring, err error) {
	fd, err := unix.FcntlInt(uintptr(m.FD()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	r := new(ring)
	if err := unix.SetNonblock(fd, true); err != nil { // else the poller would not have it
		return nil, errors.Join(err, unix.Close(fd))
	}
	r.file = os.NewFile(uintptr(fd), "ring of events")
	defer func() {
		if err != nil {
			err = errors.Join(err, r.file.Close())
		}
	}()
	if err := r.resume(); err != nil {
		return nil, fmt.Errorf("poll it: %w", err)
	}
	if r.conn, err = r.file.SyscallConn(); err != nil {
		return nil, err
	}
	if r.reader, err = ringbuf.NewReader(m); err != nil {
		return nil, err
	}
	r.reader.SetDeadline(time.Unix(1, 0)) // it is never to wait
	return r, nil
}

// await waits until there is a record, or interrupt is called. The error is
// [os.ErrClosed] after close.
func (r *ring) await() error {
	tries := 0
	err := r.conn.Read(func(uintptr) bool {
		tries++
		return r.reader.AvailableBytes() > 0
	})
	switch {
	case r.closed.Load():
		return os.ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return r.resume()
	case err == nil && tries > 1:
		time.Sleep(gatherFor)
	}
	return err
}

// interrupt ends the await that is under way, or else the next one.
func (r *ring) interrupt() { _ = r.file.SetReadDeadline(time.Unix(1, 0)) }
func (r *ring) resume() error {
	if err := r.file.SetReadDeadline(time.Time{}); err != nil && !r.closed.Load() {
		return err
	}
	return nil
}

// next reads a record, and does not wait: false where there is none.
func (r *ring) next(rec *ringbuf.Record) (bool, error) {
	err := r.reader.ReadInto(rec)
	switch {
	case r.closed.Load():
		return false, os.ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return false, nil
	}
	return err == nil, err
}

// close makes all other methods err, also those that are under way.
func (r *ring) close() error {
	r.closed.Store(true)
	return errors.Join(r.file.Close(), r.reader.Close())
}
