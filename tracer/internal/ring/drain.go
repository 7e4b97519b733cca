package ring

import (
	"context"
	"errors"
	"os"
)

// batchSize is about how much is moved before the taker is told of it, in bytes.
const batchSize = 64 << 10

// drain moves records from the ring into the backlog until ctx is done, or nobody takes
// them any more. What is in the ring then is moved too.
func (r *Reader) drain(ctx context.Context) error {
	defer r.backlog.end()
	for ctx.Err() == nil && r.backlog.wanted() {
		if err := r.ring.await(); err != nil {
			return unlessClosed(err)
		}
		if _, err := r.move(); err != nil {
			return unlessClosed(err)
		}
	}
	for moved := 0; moved < int(r.ring.size); {
		n, err := r.move()
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

// move moves one batch from the ring into the backlog, and returns its size in bytes. The drain calls it,
// and so does [Reader.Records] when the backlog is empty: then there is room, and it does not wait.
func (r *Reader) move() (moved int, err error) {
	r.moving.Lock()
	defer r.moving.Unlock()
	b := &r.batch
	b.reset()
	err = r.ring.take(b)
	r.backlog.add(b)
	if err == nil {
		r.moved.Store(b.end)
	}
	return len(b.framed), err
}
