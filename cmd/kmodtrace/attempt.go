package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kmodtrace/kmodtrace/tracer"
	"golang.org/x/sys/unix"
)

// How long the kernel's events may come after its answer. They are in the ring
// before a system call returns, so that this bounds only how late this process
// reads them, on a machine that is busy. Where a file cannot be read any more there
// was no system call, and the wait is in vain.
const (
	afterAnswer    = 5 * time.Second
	afterInterrupt = time.Second // for an answer that is on its way
)

// witness does things by its hand, and sees in the kernel's events what that hand did.
type witness struct {
	hand *hand
	seen chan tracer.Action
	stop context.CancelFunc
	err  error // of reading events; valid once seen is closed
}

func newWitness(t *tracer.Tracer) *witness {
	ctx, stop := context.WithCancel(context.Background())
	w := &witness{hand: newHand(), seen: make(chan tracer.Action), stop: stop}
	go func() {
		defer close(w.seen)
		for a, err := range t.Actions(ctx) {
			if err != nil {
				w.err = err
				return
			}
			if w.hand.is(a.Thread) {
				w.seen <- a
			}
		}
	}()
	return w
}

// finish ends the reading, and gives what was unfinished then.
func (w *witness) finish() []tracer.Action {
	w.stop()
	var rest []tracer.Action
	for a := range w.seen {
		rest = append(rest, a)
	}
	return rest
}

func (w *witness) close() {
	w.finish()
	w.hand.close()
}

// attempt is one thing done: what was answered, and what was seen.
type attempt struct {
	kind     tracer.ActionKind
	answered bool
	err      error // the answer
	actions  []tracer.Action
	readErr  error // why no more events could be read
}

// attempt does one thing and waits for the answer and the events that belong to it.
// A context that ends stops the waiting; what the kernel has begun goes on. Without
// a verdict in the end the reading is finished too, and with it the witness.
func (w *witness) attempt(ctx context.Context, kind tracer.ActionKind, do func() error) *attempt {
	a := &attempt{kind: kind}
	w.follow(ctx, a, w.hand.begin(do))
	if !a.settled() && (a.err == nil || len(a.actions) > 0) {
		a.actions = append(a.actions, w.finish()...)
		a.readErr = w.err
	}
	return a
}

func (w *witness) follow(ctx context.Context, a *attempt, answer <-chan error) {
	interrupted := ctx.Done()
	var late <-chan time.Time
	for !a.settled() {
		select {
		case a.err = <-answer:
			a.answered, answer = true, nil
			late = time.After(afterAnswer)
		case action, ok := <-w.seen:
			if !ok {
				return
			}
			a.actions = append(a.actions, action)
		case <-interrupted:
			interrupted = nil
			if !a.answered {
				late = time.After(afterInterrupt)
			}
		case <-late:
			return
		}
	}
}

// last is the action of the last system call. Requests that a module's own init
// made are others.
func (a *attempt) last() *tracer.Action {
	for i := len(a.actions) - 1; i >= 0; i-- {
		if a.actions[i].Kind == a.kind {
			return &a.actions[i]
		}
	}
	return nil
}

// settled tells whether no more is to come: the answer is there and the last
// action agrees, or the thread that would bring the answer is dead.
func (a *attempt) settled() bool {
	last := a.last()
	return last != nil && (last.Crashed || a.answered && a.agrees(last))
}

// agrees tells whether the action ended as the answer says.
func (a *attempt) agrees(last *tracer.Action) bool {
	switch {
	case last.Outcome == tracer.Pending:
		return false
	case a.err == nil && last.Errno == unix.EEXIST:
		// A dependency that someone else loaded meanwhile.
		return a.kind == tracer.Load
	case a.err == nil:
		return last.Outcome != tracer.Failed
	}
	return last.Outcome == tracer.Failed && errors.Is(a.err, last.Errno)
}

// verdict says what may be claimed about the attempt, and why no more than that.
func (a *attempt) verdict() (verdict, error) {
	last := a.last()
	switch {
	case last != nil && last.Crashed:
		return refused, errors.New("its code crashed: the kernel killed the thread that ran it, and keeps the module as it is until reboot")
	case !a.answered:
		return unconfirmed, a.unanswered(last)
	case a.err != nil && (last == nil || a.agrees(last)):
		return refused, a.err
	case a.readErr != nil:
		return unconfirmed, fmt.Errorf("the kernel said %s; its events cannot be read: %w", answerText(a.err), a.readErr)
	case last == nil || last.Outcome == tracer.Pending:
		return unconfirmed, fmt.Errorf("the kernel said %s, and the events that prove it were not seen", answerText(a.err))
	case !a.agrees(last):
		return contradicted, fmt.Errorf("the kernel said %s, and its events say %s", answerText(a.err), outcomeText(last, 100))
	case last.Outcome != tracer.Failed && !last.Proven():
		return unconfirmed, errors.New("the kernel said yes, and some of the events that prove it were not seen")
	}
	return confirmed, nil
}

// unanswered says how far the kernel is with what it was asked.
func (a *attempt) unanswered(last *tracer.Action) error {
	switch {
	case last == nil:
		return errors.New("stopped waiting before the kernel answered")
	case last.Stage == 0:
		return errors.New("stopped waiting before the kernel answered; it is still at it")
	}
	return fmt.Errorf("stopped waiting before the kernel answered; it is still at stage %v", last.Stage)
}

func answerText(err error) string {
	var errno unix.Errno
	switch {
	case err == nil:
		return "yes"
	case errors.As(err, &errno):
		return tracer.ErrnoName(errno)
	}
	return "no"
}
