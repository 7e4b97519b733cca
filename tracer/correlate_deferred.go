package tracer

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// An action is deferred when it has ended as far as can be seen, and its thread may still show
// more of it: a second try, or the return of a call whose beginning was missed.

// deferFor is how long. A program decompresses a file in that time; a return follows at once.
const deferFor = 2 * time.Second

// HasDeferred tells whether an action is deferred. A caller that has no more events then calls
// Due after a while.
func (c *Correlator) HasDeferred() bool { return len(c.deferred) > 0 }

// Due returns the deferred actions of which nothing more is expected at that time since boot.
func (c *Correlator) Due(now time.Duration) (done []Action) {
	for _, a := range c.deferred {
		if now-a.End > deferFor {
			c.drop(c.deferred, a)
			done = append(done, *a)
		}
	}
	slices.SortFunc(done, func(a, b Action) int { return int(a.End - b.End) })
	return done
}

// deferAction keeps an action, and returns the oldest where there is no room.
func (c *Correlator) deferAction(a *Action) (done []Action) {
	for len(c.deferred) >= c.max || len(c.deferred) > 0 && c.bytes > maxPendingBytes {
		done = append(done, *c.takeOldest(c.deferred))
	}
	c.keep(c.deferred, a)
	return done
}

// mayReturn tells whether the return of an attempt may still come: its beginning was not seen,
// and neither was its return. A hook can miss a beginning; else an attempt of that kind began
// before the hooks were attached.
func mayReturn(a *Action) bool { return a.Call == nil && !a.Saw(KindLeave) && !a.Crashed }

// resume takes up such an attempt again when its return comes; nil where e is none.
func (c *Correlator) resume(e Event) *Action {
	a := c.deferred[e.Thread.TID]
	if e.Kind != KindLeave || a == nil || !mayReturn(a) || !continues(a, e) {
		return nil
	}
	c.drop(c.deferred, a)
	c.keep(c.attempts, a)
	return a
}

// isFirstTry tells a compressed file that was given to a kernel as if it were
// none: programs do so before they decompress it themselves.
func isFirstTry(a *Action) bool {
	return a.Outcome == Failed && a.Errno == unix.ENOEXEC && a.Call != nil && a.Call.Call == FinitModule &&
		a.Image != nil && a.Image.Format.Compressed()
}

// retry ties a new attempt to the first try of the same thread that is deferred, or
// returns the one that is deferred there: where the new one is not a load of bytes in memory, for
// a load of a file may be of any file, and where that was not a first try.
func (c *Correlator) retry(a *Action, e Event) []Action {
	first := c.deferred[e.Thread.TID]
	if first == nil {
		return nil
	}
	c.drop(c.deferred, first)
	same := first.Thread.PID == e.Thread.PID && first.Thread.Start == e.Thread.Start
	if !same || !isFirstTry(first) || e.Enter == nil || e.Enter.Call != InitModule {
		return []Action{*first}
	}
	for _, r := range c.requests {
		r.Loads = slices.DeleteFunc(r.Loads, func(id ID) bool { return id == first.ID })
	}
	a.FirstTry = &FirstTry{
		ID: first.ID, Format: first.Image.Format, Errno: first.Errno, ErrnoName: first.ErrnoName, Took: first.Took,
	}
	// init_module shows no file; the first try did.
	a.File = first.File
	name(a, first.Module, first.NameFrom)
	return nil
}
