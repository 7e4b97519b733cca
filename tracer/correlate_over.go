package tracer

import (
	"slices"
	"time"
)

// Actions whose end was missed: the kernel did not run the hook that tells it. The next
// attempt of the thread shows that; so does whoever looks what the thread does now.

const (
	// overdueAfter is how long an action is under way before anybody looks at its thread.
	overdueAfter = time.Second
	// maxOverdue bounds how many are looked at at once.
	maxOverdue = 256
	// maxOver bounds how many of those that are over are remembered.
	maxOver = 1024
)

// underWay tells whether anything is.
func (c *Correlator) underWay() bool { return len(c.attempts)+len(c.requests) > 0 }

// overdue gives actions that have been under way for a while at that time since boot: all,
// or some where there are too many, others at each call. They are the Correlator's.
func (c *Correlator) overdue(now time.Duration) (all []*Action) {
	for _, m := range []map[uint32]*Action{c.attempts, c.requests} {
		for _, a := range m {
			if len(all) == maxOverdue {
				return all
			}
			if now-a.Start > overdueAfter {
				all = append(all, a)
			}
		}
	}
	return all
}

// end takes those of the actions out which are still under way. The caller knows that all
// their events have been added.
func (c *Correlator) end(actions []*Action) (done []Action) {
	for _, a := range actions {
		switch {
		case c.attempts[a.Thread.TID] == a:
			done = append(done, c.giveUp(a))
		case c.requests[a.Thread.TID] == a:
			done = append(done, c.giveUpRequest(a))
		}
	}
	slices.SortFunc(done, func(a, b Action) int { return int(a.Start - b.Start) })
	return done
}

// giveUp takes an attempt out whose end will not come.
func (c *Correlator) giveUp(a *Action) Action {
	c.drop(c.attempts, a)
	a.EndLost = true
	a.conclude()
	if a.End != 0 {
		c.outline(a)
		c.helped(a)
	}
	c.attribute(a)
	c.over = append(c.over, a.ID)
	if len(c.over) > maxOver {
		c.over = c.over[1:]
	}
	return *a
}

// conclude gives the outcome that the kernel was seen to reach before the end that was
// missed, which changes it no more: an init that has returned, or a free in an unload.
func (a *Action) conclude() {
	switch {
	case a.lastReturn != nil:
		finish(a, a.lastReturn.at, min(a.lastReturn.value, 0))
	case a.freed != 0 && a.Call != nil && a.Kind == Unload:
		finish(a, a.freed, 0)
	default:
		a.Outcome = Pending
	}
}

// initReturn is what do_init_module returned, and when.
type initReturn struct {
	at    time.Duration
	value int64
}

// isOver tells an event of an attempt that was given up. The kernel side does not know that
// it is over, and takes whatever its thread does for a part of it, or another thread that
// has its number now.
func (c *Correlator) isOver(e Event) bool {
	return e.Attempt != 0 && slices.Contains(c.over, e.Attempt)
}
