// Package tail reads what a tracer yields in a goroutine, so that its consumer can wait for
// other things too.
package tail

import (
	"context"
	"iter"
)

// ahead is how many items a Tail has ready. What waits longer the tracer keeps, in less room.
const ahead = 64

// Tail gives the items of a sequence by a channel. The goroutine that reads ends when the
// sequence does, which [Tail.Finish] and [Tail.Skip] bring about; one of them must be called.
type Tail[T any] struct {
	Items <-chan *T // closed when no more can be read
	Err   error     // of reading; valid once Items is closed

	stop context.CancelFunc
}

// New begins to read.
func New[T any](ctx context.Context, read func(context.Context) iter.Seq2[T, error]) *Tail[T] {
	ctx, stop := context.WithCancel(ctx)
	items := make(chan *T, ahead)
	t := &Tail[T]{Items: items, stop: stop}
	go func() {
		defer close(items)
		for item, err := range read(ctx) {
			if err != nil {
				t.Err = err
				return
			}
			items <- &item
		}
	}()
	return t
}

// Finish ends the reading, and gives what was left: first what has ended, then what has
// not. Calling it again gives nothing.
func (t *Tail[T]) Finish() []*T {
	t.stop()
	var rest []*T
	if t.Items != nil {
		for item := range t.Items {
			rest = append(rest, item)
		}
	}
	return rest
}

// Skip ends the reading, and counts what was left.
func (t *Tail[T]) Skip() (n int) {
	t.stop()
	for range t.Items {
		n++
	}
	return n
}
