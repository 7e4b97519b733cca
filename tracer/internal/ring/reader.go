// Package ring carries records out of the kernel: from the ring in which BPF programs leave
// them into a backlog in memory, and from there to who takes them. A taker that is slow
// fills the backlog first and the ring last, because records are lost only there.
package ring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
)

// Reader reads a ring. One goroutine at a time may iterate over its records and ask for
// [Reader.Taken]; the other methods may be called from any.
type Reader struct {
	ring    *ring
	backlog *backlog
	reading *reading
	moved   atomic.Uint64 // the position in the ring before which all is in the backlog, or taken

	moving sync.Mutex // held while records move into the backlog, so that they stay in order
	batch  batch
}

// Open reads the ring events. The kernel side learns from the map reading, which has one
// position and lies in memory that both share, how far the reader has come. limit bounds the
// backlog in bytes of memory; zero means 16 MiB. The maps must stay open as long as the Reader.
func Open(events, reading *ebpf.Map, limit int) (*Reader, error) {
	r := &Reader{backlog: newBacklog(limit)}
	var err error
	if r.reading, err = openReading(reading); err != nil {
		return nil, fmt.Errorf("share where the reader is: %w", err)
	}
	if r.ring, err = openRing(events, r.reading); err != nil {
		return nil, errors.Join(fmt.Errorf("open ring: %w", err), r.reading.close())
	}
	return r, nil
}

// Unhurried has the kernel side take the reader for one that is in no hurry, from now on:
// it tells whatever its budgets allow.
func (r *Reader) Unhurried() { r.reading.hurryNot() }

// ErrIdle is yielded when no record came until the deadline. It ends nothing.
var ErrIdle = errors.New("no record yet")

// Records yields the records in the order in which the kernel reserved them, and [ErrIdle]
// whenever the next deadline passes without one; a deadline of zero is none. A record is
// valid until the next one, and may be written to up to its capacity. When ctx is done,
// what is in the ring is yielded first; then it ends, without an error, as it does after
// Close. Another error that is yielded ends it too.
func (r *Reader) Records(ctx context.Context, deadline func() time.Time) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		r.backlog.begin()
		r.reading.begin()
		drained := make(chan error, 1)
		go func() { drained <- r.drain(ctx) }()
		stop := context.AfterFunc(ctx, r.ring.interrupt)
		defer func() {
			stop()
			r.backlog.leave()
			r.reading.leave()
			r.ring.interrupt()
			<-drained
		}()
		for {
			record, err := r.backlog.take(deadline)
			switch {
			case errors.Is(err, ErrIdle):
				// Nobody is woken for most records: see bpf/ring.h.
				if moved, err := r.move(); err == nil && moved > 0 {
					r.ring.rearm()
					continue
				}
				if !yield(nil, ErrIdle) {
					return
				}
				continue
			case errors.Is(err, io.EOF):
				err := <-drained
				drained <- nil
				if err != nil {
					yield(nil, fmt.Errorf("read ring: %w", err))
				}
				return
			case err != nil:
				yield(nil, fmt.Errorf("read backlog: %w", err))
				return
			}
			r.reading.took(r.backlog.place)
			if !yield(record, nil) {
				return
			}
		}
	}
}

// Backlog is the size of the backlog, in bytes of memory.
func (r *Reader) Backlog() int { return r.backlog.size() }

// Reserved is the position behind all records in the ring, also those that are not
// complete. The error is [os.ErrClosed] after Close.
func (r *Reader) Reserved() (uint64, error) { return r.ring.reserved() }

// Taken tells whether all records before a position in the ring are taken, and no others
// are left in the backlog.
func (r *Reader) Taken(position uint64) bool {
	return r.moved.Load() >= position && r.backlog.empty()
}

// Close ends an iteration that is under way. The maps may be closed then.
func (r *Reader) Close() error {
	return errors.Join(r.ring.close(), r.reading.close())
}
