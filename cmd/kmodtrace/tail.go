package main

import (
	"context"
	"iter"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// tail reads all actions as they end, ahead of who takes them: looking for reasons and
// origins takes time, in which the ring of events would fill up.
type tail struct {
	actions <-chan *tracer.Action // closed when no more can be read
	stop    context.CancelFunc
	err     error // of reading; valid once actions is closed
}

func newTail(ctx context.Context, read func(context.Context) iter.Seq2[tracer.Action, error]) *tail {
	ctx, stop := context.WithCancel(ctx)
	actions := make(chan *tracer.Action, 1024)
	tl := &tail{actions: actions, stop: stop}
	go func() {
		defer close(actions)
		for a, err := range read(ctx) {
			if err != nil {
				tl.err = err
				return
			}
			actions <- &a
		}
	}()
	return tl
}

// finish ends the reading, and gives what was left: first what has ended, then what has
// not. Calling it again gives nothing.
func (t *tail) finish() []*tracer.Action {
	t.stop()
	var rest []*tracer.Action
	if t.actions != nil {
		for a := range t.actions {
			rest = append(rest, a)
		}
	}
	return rest
}
