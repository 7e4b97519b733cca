// Package follow runs a command and picks, from all that the kernel does with modules, what it does because of that
// command: job control, signals and the terminal are the command's.
package follow

import (
	"context"
	"crypto/rand"
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
	Report  *Report
	Signals *relay
	Log     *zerolog.Logger

	family  family
	helpers helpers
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
	r.family = family{pid: own.Thread.PID, start: own.Thread.Start}
	if err := BecomeSubreaper(); err != nil {
		return fmt.Errorf("become a subreaper: %w", err)
	}
	return nil
}

// Follow reports until the command has ended and all that it did before is shown.
func (r *Runner) Follow(ctx context.Context, pid int) syscall.WaitStatus {
	ended := make(chan syscall.WaitStatus, 1)
	go func() { ended <- r.Signals.follow(pid) }()
	for {
		select {
		case a := <-r.Tail.Items:
			r.take(ctx, a)
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
		r.helpers.see(a)
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

// fenceWithin is how long the kernel may take for it, and this process to read that.
const fenceWithin = 5 * time.Second

// fence makes an unload that is refused, of a name that nothing else has, and gives its
// action when that comes; what comes before has ended before, and is taken.
func (r *Runner) fence(ctx context.Context) (*tracer.Action, error) {
	name := "kmodtrace_fence_" + rand.Text()
	go func() { _ = unix.DeleteModule(name, unix.O_NONBLOCK) }()
	late := time.NewTimer(fenceWithin)
	defer late.Stop()
	for {
		select {
		case a := <-r.Tail.Items:
			switch {
			case a == nil:
				r.take(ctx, a)
				return nil, errors.Join(errors.New("no more of them can be read"), r.Tail.Err)
			case a.Module == name:
				return a, nil
			}
			r.take(ctx, a)
			late.Reset(fenceWithin) // that may have taken a while
		case <-late.C:
			return nil, fmt.Errorf("a system call of its own was not seen within %v", fenceWithin)
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
