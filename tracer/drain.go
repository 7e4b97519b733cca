package tracer

import (
	"context"
	"errors"
	"os"

	"github.com/cilium/ebpf/ringbuf"
)

// drain moves records from the ring into the backlog until ctx is done, or nobody takes
// them any more. What is in the ring then is moved too.
func (t *Tracer) drain(ctx context.Context) error {
	defer t.backlog.end()
	const some = 64 << 10 // until the taker is told
	for ctx.Err() == nil && t.backlog.wanted() {
		if err := t.ring.await(); err != nil {
			return unlessClosed(err)
		}
		if err := t.move(some); err != nil {
			return unlessClosed(err)
		}
	}
	return unlessClosed(t.move(t.ring.reader.BufferSize()))
}

func unlessClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// move moves the records that are there, at most about so many bytes.
func (t *Tracer) move(bytes int) error {
	defer t.backlog.tell()
	var rec ringbuf.Record
	for more := true; more && bytes > 0; more = rec.Remaining > 0 {
		some, err := t.ring.next(&rec)
		if err != nil || !some {
			return err
		}
		t.backlog.add(rec.RawSample)
		bytes -= len(rec.RawSample)
	}
	return nil
}
