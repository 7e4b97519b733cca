package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// ring is the kernel's ring of events (BPF_MAP_TYPE_RINGBUF, kernel/bpf/ringbuf.c).
//
// It is read here and not by the package ringbuf of cilium/ebpf for two reasons:
//
//   - Time. That package waits in a system call. While a thread does, the Go runtime checks
//     on it, every 20 µs at first. Here the runtime's own poller waits, and records are taken
//     together. At the rate of 300 actions a second this takes 9 to 10 µs of the processor
//     for each record, and that package 19 to 36 µs (BenchmarkRing).
//   - Memory. That package maps the data twice, so that no record wraps around, and both count
//     as memory of the process. Mapped once, the ring can be twice as large.
type ring struct {
	file *os.File // for the poller
	conn syscall.RawConn
	size uint64 // of the data, a power of two

	reading *reading

	mu       sync.Mutex // of what is mapped, which close takes away
	closed   bool
	consumer []byte // the page with our position, which we write
	producer []byte // the page with the kernel's position
	data     []byte
	mapped   []byte // producer and data
}

const (
	recordHeader    = 8 // the length with its flags, and an offset that is the kernel's own
	recordBusy      = unix.BPF_RINGBUF_BUSY_BIT
	recordDiscarded = unix.BPF_RINGBUF_DISCARD_BIT
)

// gatherFor is how long an empty ring is left alone when something comes. The kernel side wakes
// the reader where an action begins and where it ends (bpf/ring.h), and many begin together.
const gatherFor = 2 * time.Millisecond

// busyFor is how long a record is left alone that is reserved and not complete. That takes the
// kernel side some microseconds, and it wakes nobody for most records.
const busyFor = time.Millisecond

func openRing(m *ebpf.Map, reading *reading) (_ *ring, err error) {
	fd, err := unix.FcntlInt(uintptr(m.FD()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil { // else the poller would not have it
		return nil, errors.Join(err, unix.Close(fd))
	}
	r := &ring{file: os.NewFile(uintptr(fd), "ring of events"), reading: reading}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if err := r.file.SetReadDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("poll it: %w", err)
	}
	if r.conn, err = r.file.SyscallConn(); err != nil {
		return nil, err
	}
	page := os.Getpagesize()
	if r.consumer, err = unix.Mmap(fd, 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("map our position: %w", err)
	}
	if r.mapped, err = unix.Mmap(fd, int64(page), page+int(m.MaxEntries()), unix.PROT_READ, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("map the data: %w", err)
	}
	r.producer, r.data = r.mapped[:page], r.mapped[page:]
	r.size = uint64(len(r.data))
	return r, nil
}

// await waits until there is a record, or interrupt is called. The error is
// [os.ErrClosed] after close.
func (r *ring) await() error {
	tries := 0
	err := r.conn.Read(func(uintptr) bool {
		tries++
		if r.state() == empty {
			r.reading.sleeps()
		}
		return r.state() != empty
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = r.file.SetReadDeadline(time.Time{})
	} else if err == nil && tries > 1 {
		time.Sleep(gatherFor)
	}
	for err == nil && r.state() == busy {
		time.Sleep(busyFor)
	}
	if r.isClosed() {
		return os.ErrClosed
	}
	return err
}

// rearm is for who takes records while somebody else awaits them. The kernel side may have woken that one for a record that is
// taken now: epoll finds the ring empty then, wakes nobody, and the kernel side takes the reader for one that is awake. So it
// is asked again to wake it, and what came before that ends the wait.
func (r *ring) rearm() {
	r.reading.sleeps()
	if r.state() != empty {
		r.interrupt()
	}
}

// interrupt ends the await that is under way, or else the next one.
func (r *ring) interrupt() { _ = r.file.SetReadDeadline(time.Unix(1, 0)) }

// state says what is behind all that was read.
type state int

const (
	empty state = iota // nothing
	busy               // a record that is reserved, and not complete
	ready              // a record
)

func (r *ring) state() state {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ready // for the next call to say so
	}
	at := r.position().Load()
	switch _, complete := r.header(at); {
	case complete:
		return ready
	case at != r.written().Load():
		return busy
	}
	return empty
}

// take moves records to b, until it has about batchSize bytes. It does not wait.
func (r *ring) take(b *batch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return os.ErrClosed
	}
	at := r.position().Load()
	defer func() {
		b.end = at
		r.position().Store(at)
	}()
	for len(b.framed) < batchSize {
		header, ok := r.header(at)
		if !ok {
			return nil
		}
		size := uint64(header &^ (recordBusy | recordDiscarded))
		if size > r.size {
			return fmt.Errorf("record of %d bytes in a ring of %d", size, r.size)
		}
		end := at + recordHeader + (size+7)&^7
		if header&recordDiscarded == 0 {
			head, tail := r.record(at+recordHeader, size)
			b.add(end, head, tail)
		}
		at = end
	}
	return nil
}

// header of the record at a position, if there is one that the kernel has completed. The
// loads are in the order in which the kernel stores: what it says is there is.
func (r *ring) header(at uint64) (uint32, bool) {
	if at == r.written().Load() {
		return 0, false
	}
	header := (*atomic.Uint32)(unsafe.Pointer(&r.data[r.offset(at)])).Load()
	return header, header&recordBusy == 0
}

// record gives the bytes at a position, in two parts where they wrap round.
func (r *ring) record(at, size uint64) (head, tail []byte) {
	begin := r.offset(at)
	if room := r.size - begin; size > room {
		return r.data[begin:], r.data[:size-room]
	}
	return r.data[begin : begin+size], nil
}

func (r *ring) offset(at uint64) uint64 { return at & (r.size - 1) }

// position is how far we have read. The kernel gives that part to new records.
func (r *ring) position() *atomic.Uint64 { return (*atomic.Uint64)(unsafe.Pointer(&r.consumer[0])) }

// written is the position behind all records, also those that are not complete.
func (r *ring) written() *atomic.Uint64 { return (*atomic.Uint64)(unsafe.Pointer(&r.producer[0])) }

// reserved is the position behind all records, also those that are not complete.
func (r *ring) reserved() (uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, os.ErrClosed
	}
	return r.written().Load(), nil
}

// close makes all other methods err, also those that are under way.
func (r *ring) close() error {
	return errors.Join(r.unmap(), r.file.Close())
}

func (r *ring) unmap() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	var errs []error
	for _, m := range [][]byte{r.consumer, r.mapped} {
		if m != nil {
			errs = append(errs, unix.Munmap(m))
		}
	}
	r.consumer, r.mapped, r.producer, r.data = nil, nil, nil, nil
	return errors.Join(errs...)
}

func (r *ring) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// batch is records that are added together, each behind its length and the position in the
// ring where it ended.
type batch struct {
	framed []byte
	end    uint64 // the ring's position behind them
}

func (b *batch) reset() { b.framed = b.framed[:0] }

// add takes a record, in one part or two.
func (b *batch) add(end uint64, head, tail []byte) {
	b.framed = binary.NativeEndian.AppendUint32(b.framed, uint32(len(head)+len(tail)))
	b.framed = binary.NativeEndian.AppendUint64(b.framed, end)
	b.framed = append(b.framed, head...)
	b.framed = append(b.framed, tail...)
}
