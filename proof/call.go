package proof

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/tail"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/tracer"
	"golang.org/x/sys/unix"
)

// How long the kernel's events may come after its answer. They are in the ring
// before a system call returns, so that this bounds only how late this process
// reads them, on a machine that is busy. Where a file cannot be read any more there
// was not a system call, and the wait is in vain.
const (
	afterAnswer    = 5 * time.Second
	afterInterrupt = time.Second // for an answer that is on its way
)

// collector has its thread make calls, and collects the actions of that thread.
type collector struct {
	caller *caller
	tail   *tail.Tail[tracer.Action]
}

func newCollector(read func(context.Context) iter.Seq2[tracer.Action, error]) *collector {
	c := &collector{caller: newCaller()}
	c.read(read)
	return c
}

func (c *collector) read(read func(context.Context) iter.Seq2[tracer.Action, error]) {
	c.tail = tail.New(context.Background(), func(ctx context.Context) iter.Seq2[tracer.Action, error] {
		return c.own(read(ctx))
	})
}

// own leaves out the actions of other threads while they are read: nobody may take any for
// a long time, and they would fill the tracer's memory.
func (c *collector) own(all iter.Seq2[tracer.Action, error]) iter.Seq2[tracer.Action, error] {
	return func(yield func(tracer.Action, error) bool) {
		for a, err := range all {
			if (err != nil || c.caller.is(a.Thread)) && !yield(a, err) {
				return
			}
		}
	}
}

func (c *collector) close() {
	c.tail.Finish()
	c.caller.close()
}

// call is a system call that was made, or several where the first was refused and asked
// again: what was answered, and what was seen.
type call struct {
	kind     tracer.ActionKind
	answered bool
	err      error // the answer
	actions  []tracer.Action
	readErr  error // why no more events could be read
}

// call makes a call, and waits for the answer and the events that belong to it.
// A context that ends stops the waiting; what the kernel has begun goes on. Without
// a verdict in the end the reading is finished too, and with it the collector.
func (c *collector) call(ctx context.Context, kind tracer.ActionKind, do func() error) *call {
	made := &call{kind: kind}
	c.follow(ctx, made, c.caller.begin(do))
	if !made.settled() && (made.err == nil || len(made.actions) > 0) {
		for _, a := range c.tail.Finish() {
			made.actions = append(made.actions, *a)
		}
		made.readErr = c.tail.Err
	}
	return made
}

func (c *collector) follow(ctx context.Context, made *call, answer <-chan error) {
	interrupted := ctx.Done()
	var late <-chan time.Time
	for !made.settled() {
		select {
		case made.err = <-answer:
			made.answered, answer = true, nil
			late = time.After(afterAnswer)
		case action, ok := <-c.tail.Items:
			if !ok {
				return
			}
			made.actions = append(made.actions, *action)
		case <-interrupted:
			interrupted = nil
			if !made.answered {
				late = time.After(afterInterrupt)
			}
		case <-late:
			return
		}
	}
}

// last is the action of the last system call. Requests that a module's own init
// made are others.
func (c *call) last() *tracer.Action {
	for i := len(c.actions) - 1; i >= 0; i-- {
		if c.actions[i].Kind == c.kind {
			return &c.actions[i]
		}
	}
	return nil
}

// settled tells whether no more is to come: the answer is there and the last
// action agrees, or the kernel was not asked, or the thread that would bring the
// answer is dead.
func (c *call) settled() bool {
	last := c.last()
	return c.unasked() || last != nil && (last.Crashed || c.answered && c.agrees(last))
}

// unasked tells whether the last time the kernel was not asked: no event will come of that.
func (c *call) unasked() bool { return c.answered && errors.Is(c.err, kmod.ErrNotAsked) }

// crashed tells whether the thread that made the last system call is dead.
func (c *call) crashed() bool {
	last := c.last()
	return last != nil && last.Crashed
}

// agrees tells whether the action ended as the answer says.
func (c *call) agrees(last *tracer.Action) bool {
	switch {
	case last.Outcome == tracer.Pending:
		return false
	case c.err == nil && last.Errno == unix.EEXIST:
		// A dependency that someone else loaded meanwhile.
		return c.kind == tracer.Load
	case c.err == nil:
		return last.Outcome != tracer.Failed
	}
	return last.Outcome == tracer.Failed && errors.Is(c.err, last.Errno)
}

// verdict says what may be claimed about the call, and why no more than that.
func (c *call) verdict() (Verdict, error) {
	last := c.last()
	switch {
	case c.unasked():
		return Refused, c.err
	case last != nil && last.Crashed:
		return Refused, errors.New("it crashed: the kernel killed the thread that did it, and keeps the module as it is until reboot")
	case !c.answered:
		return Unconfirmed, c.unanswered(last)
	case c.err != nil && (last == nil || c.agrees(last)):
		return Refused, c.err
	case c.readErr != nil:
		return Unconfirmed, fmt.Errorf("the kernel answered %s; its events cannot be read: %w", answerText(c.err), c.readErr)
	case last == nil || last.Outcome == tracer.Pending:
		return Unconfirmed, fmt.Errorf("the kernel answered %s, and the events that prove it were not seen", answerText(c.err))
	case !c.agrees(last):
		return Contradicted, fmt.Errorf("the kernel answered %s, and its events show %s", answerText(c.err), outcomeText(last))
	case last.Outcome != tracer.Failed && !last.Proven():
		return Unconfirmed, errors.New("the kernel said yes, and some of the events that prove it were not seen")
	}
	return Confirmed, nil
}

// unanswered says how far the kernel is with what it was asked.
func (c *call) unanswered(last *tracer.Action) error {
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

func outcomeText(a *tracer.Action) string {
	switch {
	case a.Crashed:
		return "crashed"
	case a.Outcome == tracer.Failed && a.ErrnoName != "":
		return a.Outcome.String() + " " + a.ErrnoName
	}
	return a.Outcome.String()
}
