package main

import (
	"context"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// tail reads all actions, as they end.
type tail struct {
	actions <-chan *tracer.Action // closed when no more can be read
	stop    context.CancelFunc
	err     error // of reading; valid once actions is closed
}

func newTail(t *tracer.Tracer) *tail {
	ctx, stop := context.WithCancel(context.Background())
	// Explaining one takes longer than many come in.
	actions := make(chan *tracer.Action, 1024)
	tl := &tail{actions: actions, stop: stop}
	go func() {
		defer close(actions)
		for a, err := range t.Actions(ctx) {
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
// not.
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
