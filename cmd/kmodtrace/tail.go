package main

import (
	"context"
	"iter"
)

// ahead is how many a tail has ready. What waits longer the tracer keeps, in less room.
const ahead = 64

// tail reads actions as they end, or events, while who takes them looks for reasons and
// origins.
type tail[T any] struct {
	items <-chan *T // closed when no more can be read
	stop  context.CancelFunc
	err   error // of reading; valid once items is closed
}

func newTail[T any](ctx context.Context, read func(context.Context) iter.Seq2[T, error]) *tail[T] {
	ctx, stop := context.WithCancel(ctx)
	items := make(chan *T, ahead)
	tl := &tail[T]{items: items, stop: stop}
	go func() {
		defer close(items)
		for item, err := range read(ctx) {
			if err != nil {
				tl.err = err
				return
			}
			items <- &item
		}
	}()
	return tl
}

// finish ends the reading, and gives what was left: first what has ended, then what has
// not. Calling it again gives nothing.
func (t *tail[T]) finish() []*T {
	t.stop()
	var rest []*T
	if t.items != nil {
		for item := range t.items {
			rest = append(rest, item)
		}
	}
	return rest
}

// skip ends the reading, and counts what was left.
func (t *tail[T]) skip() (n int) {
	t.stop()
	for range t.items {
		n++
	}
	return n
}
