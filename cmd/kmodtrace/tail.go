package main

import (
	"context"
	"iter"
)

// tail reads all actions as they end, or all events, ahead of who takes them: looking
// for reasons and origins takes time, in which the ring of events would fill up.
type tail[T any] struct {
	items <-chan *T // closed when no more can be read
	stop  context.CancelFunc
	err   error // of reading; valid once items is closed
}

func newTail[T any](ctx context.Context, read func(context.Context) iter.Seq2[T, error]) *tail[T] {
	ctx, stop := context.WithCancel(ctx)
	items := make(chan *T, 1024)
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
