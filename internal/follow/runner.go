// Package follow runs a command and picks, from all that the kernel does with modules, what it does because of that
// command: job control, signals and the terminal are the command's.
package follow

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/tail"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

// Runner runs one command, and picks from all that the kernel does what it does because
// of that command.
type Runner struct {
	Tail    *tail.Tail[tracer.Action]
	Fence   func() (<-chan tracer.Thread, error) // of the tracer that the tail reads
	Report  *Report
	Signals *relay
	Log     *zerolog.Logger
	Tools   *tools // nil where they are not seen

	family    family
	helpers   helpers
	acted     acted
	refusals  []refusal
	notJudged uint64
}

// ErrNotSeen says that the kernel's events do not show this process itself.
var ErrNotSeen = errors.New("cannot recognize this process in the kernel's events")

// Meet learns what the kernel calls this process, and becomes the one whose descendants
// the command's are, whatever becomes of their parents.
func (r *Runner) Meet(ctx context.Context) error {
	own, err := r.fence(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotSeen, err)
	}
	r.family = family{pid: own.PID, start: own.Start}
	r.acted = make(acted)
	if err := BecomeSubreaper(); err != nil {
		return fmt.Errorf("become a subreaper: %w", err)
	}
	return nil
}

// Follow reports until the command has ended and all that it did before is shown.
func (r *Runner) Follow(ctx context.Context, pid int) syscall.WaitStatus {
	ended := make(chan syscall.WaitStatus, 1)
	go func() { ended <- r.Signals.follow(pid) }()
	var runs <-chan toolRun
	if r.Tools != nil {
		runs = r.Tools.runs
	}
	for {
		select {
		case a := <-r.Tail.Items:
			r.take(ctx, a)
		case run, more := <-runs:
			if !more {
				runs = nil
				continue
			}
			r.takeTool(ctx, &run)
		case <-r.Signals.orphans:
			reapOrphans(pid)
		case status := <-ended:
			r.finish(ctx)
			return status
		}
	}
}

// take shows an action if it is one of the family's. Before there is one, none is.
func (r *Runner) take(ctx context.Context, a *tracer.Action) {
	if a == nil { // no more can be read
		r.Tail.Items = nil
		return
	}
	if r.family == (family{}) {
		return
	}
	switch r.family.tie(a) {
	case related:
		if !a.Preliminary {
			r.helpers.see(a)
		}
		r.acted.see(a)
		r.Report.Show(ctx, a)
	case unknown:
		r.Report.Unattributed++
	}
}

// finish takes what is there when the command has ended, waits a little for the helpers
// that it left, and takes what is unfinished then.
func (r *Runner) finish(ctx context.Context) {
	if r.Tail.Items == nil {
		return
	}
	if _, err := r.fence(ctx); err != nil {
		r.Log.Warn().Msgf("what was shown may be incomplete: %v", err)
	}
	for r.Tail.Items != nil {
		left := r.helpers.until - tracer.SinceBoot()
		if left <= 0 || r.Signals.Asked() != 0 {
			break
		}
		select {
		case a := <-r.Tail.Items:
			r.take(ctx, a)
		case <-time.After(min(left, 100*time.Millisecond)):
		}
	}
	for _, a := range r.Tail.Finish() {
		r.take(ctx, a)
	}
}

// fenceWithin is how long this process may take to read up to a fence, while nothing comes.
const fenceWithin = 5 * time.Second

// fence puts a mark behind what the kernel has reported so far, takes all that comes before it, and
// gives the thread that made it as the kernel calls it.
func (r *Runner) fence(ctx context.Context) (tracer.Thread, error) {
	var passed <-chan tracer.Thread
	again := time.After(0)
	late := time.NewTimer(fenceWithin)
	defer late.Stop()
	for {
		select {
		case <-again:
			var err error
			passed, err = r.Fence()
			if errors.Is(err, tracer.ErrRingFull) { // what is in it must be taken first
				again = time.After(10 * time.Millisecond)
			} else if err != nil {
				return tracer.Thread{}, err
			}
		case thread := <-passed:
			for range len(r.Tail.Items) { // which came before, all of them
				r.take(ctx, <-r.Tail.Items)
			}
			return thread, nil
		case a := <-r.Tail.Items:
			r.take(ctx, a)
			if a == nil {
				return tracer.Thread{}, errors.Join(errors.New("no more of them can be read"), r.Tail.Err)
			}
			late.Reset(fenceWithin) // that may have taken a while
		case <-late.C:
			return tracer.Thread{}, fmt.Errorf("the end of them was not reached within %v", fenceWithin)
		}
	}
}

// helpers are the programs that the kernel started for requests whose requester did not
// wait. That they have ended, nobody is told: they get some time.
type helpers struct {
	requests map[tracer.ID]bool
	until    time.Duration // since boot
}

// helperTime is how long such a helper has for its first load, and then for each next.
const helperTime = time.Second

func (h *helpers) see(a *tracer.Action) {
	awaited := a.Kind == tracer.Autoload && leavesHelper(a)
	if awaited {
		if h.requests == nil {
			h.requests = make(map[tracer.ID]bool)
		}
		h.requests[a.ID] = true
	}
	for r := range a.Requesters() {
		awaited = awaited || h.requests[r.ID]
	}
	if awaited {
		h.until = max(h.until, a.End+helperTime)
	}
}

// leavesHelper tells a request whose helper was started and may still be at work: nobody
// wanted to wait for it, or who did was killed.
func leavesHelper(a *tracer.Action) bool {
	if a.Request == nil || a.Request.Denied || a.Request.Refused {
		return false
	}
	return a.Outcome == tracer.Pending || a.Errno == tracer.ERESTARTSYS || a.Errno == unix.EINTR
}
