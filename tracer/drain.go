package tracer

import (
	"context"
	"errors"
	"os"
)

// batchSize is about how much is moved before the taker is told of it, in bytes.
const batchSize = 64 << 10

// drain moves records from the ring into the backlog until ctx is done, or nobody takes
// them any more. What is in the ring then is moved too.
func (t *Tracer) drain(ctx context.Context) error {
	defer t.backlog.end()
	var b batch
	for ctx.Err() == nil && t.backlog.wanted() {
		if err := t.ring.await(); err != nil {
			return unlessClosed(err)
		}
		if _, err := t.move(&b); err != nil {
			return unlessClosed(err)
		}
	}
	for moved := 0; moved < int(t.ring.size); {
		n, err := t.move(&b)
		if err != nil || n == 0 {
			return unlessClosed(err)
		}
		moved += n
	}
	return nil
}

func unlessClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// move moves a batch of what is there, and gives its size.
func (t *Tracer) move(b *batch) (moved int, err error) {
	b.reset()
	err = t.ring.take(b)
	t.backlog.add(b)
	if err == nil {
		t.moved.Store(b.end)
	}
	return len(b.framed), err
}
