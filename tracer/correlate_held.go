package tracer

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Actions that have ended, as far as can be seen, and are held back for what may follow in
// their thread: a second try, or the return of a call whose beginning was missed.

// heldFor is how long. A program decompresses a file in that time; a return follows at once.
const heldFor = 2 * time.Second

// Holds tells whether an action is held back. Whoever has no more events then calls
// Release after a while.
func (c *Correlator) Holds() bool { return len(c.held) > 0 }

// Release returns the actions held back which at that time since boot are so no more.
func (c *Correlator) Release(now time.Duration) (done []Action) {
	for _, a := range c.held {
		if now-a.End > heldFor {
			c.drop(c.held, a)
			done = append(done, *a)
		}
	}
	slices.SortFunc(done, func(a, b Action) int { return int(a.End - b.End) })
	return done
}

// hold keeps an action, and gives back the oldest where there is no room.
func (c *Correlator) hold(a *Action) (done []Action) {
	for len(c.held) >= c.max || len(c.held) > 0 && c.bytes > maxPendingBytes {
		done = append(done, *c.takeOldest(c.held))
	}
	c.keep(c.held, a)
	return done
}

// mayGoOn tells an attempt that was not seen to begin, and has ended without its return.
// There is none where all began before the hooks did; but a hook can miss a beginning too.
func mayGoOn(a *Action) bool { return a.Call == nil && !a.Saw(KindLeave) && !a.Crashed }

// resume takes up such an attempt again when its return comes; nil where e is none.
func (c *Correlator) resume(e Event) *Action {
	a := c.held[e.Thread.TID]
	if e.Kind != KindLeave || a == nil || !mayGoOn(a) || !continues(a, e) {
		return nil
	}
	c.drop(c.held, a)
	c.keep(c.attempts, a)
	return a
}

// isFirstTry tells a compressed file that was given to a kernel as if it were
// none: programs do so before they decompress it themselves.
func isFirstTry(a *Action) bool {
	return a.Outcome == Failed && a.Errno == unix.ENOEXEC && a.Call != nil && a.Call.Call == FinitModule &&
		a.Image != nil && a.Image.Format.Compressed()
}

// retry ties a new attempt to the first try of the same thread that is held back, or
// gives back what is held there: where the new one is no load of bytes in memory, for
// a load of a file may be of any file, and where that was no first try.
func (c *Correlator) retry(a *Action, e Event) []Action {
	first := c.held[e.Thread.TID]
	if first == nil {
		return nil
	}
	c.drop(c.held, first)
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
