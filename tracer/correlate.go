package tracer

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of what a Correlator keeps.
const (
	defaultPending = 16384
	maxMessages    = 256
	maxLoads       = 1024
	maxHelped      = 64 // loads of one request
)

// Correlator builds actions from events. It is a pure function of the events in
// the order in which the ring delivers them: no clock, no kernel, no files. The
// zero value is not ready: use [NewCorrelator].
type Correlator struct {
	max      int
	bytes    int // of what is under way or deferred
	dropped  uint64
	attempts map[uint32]*Action // by thread id
	requests map[uint32]*Action // by thread id: an init may itself request
	loads    []*Action          // that read their file, oldest first
	deferred map[uint32]*Action // by thread id: ended, and perhaps there is more to come
	asked    []*Action          // requests, also those that have ended, oldest first
	over     []ID               // attempts that were given up, oldest first
	known    known
	ranges   *moduleRanges // nil where the kernel names who asks
}

// NewCorrelator returns a Correlator that keeps at most pending unfinished
// actions; zero means 16,384. Beyond that the oldest is given up, and counted.
func NewCorrelator(pending int) *Correlator {
	if pending <= 0 {
		pending = defaultPending
	}
	return &Correlator{
		max:      pending,
		attempts: make(map[uint32]*Action),
		requests: make(map[uint32]*Action),
		deferred: make(map[uint32]*Action),
	}
}

// Add takes the next event and returns the actions that it finishes: usually
// none or one; more where it also shows that the end of another was lost, or that
// nothing follows one deferred.
func (c *Correlator) Add(e Event) []Action {
	done := c.Due(e.Time)
	if c.ranges != nil {
		c.ranges.see(&e)
	}
	switch e.Kind {
	case KindRequest, KindRequestFormat:
		return append(done, c.request(e)...)
	case KindRequestReturn:
		return append(done, c.requestReturn(e)...)
	case KindHelper:
		c.helperOf(e)
		return done
	case KindProcess:
		c.known.add(e.Process, e.Unprivileged)
		return done
	case KindActor:
		if a := c.open(e, e.Actor.Of); a != nil {
			a.Seen = append(a.Seen, KindActor)
			a.actorDetails(e.Actor)
			c.grow(a, &e)
		}
		return done
	case KindAncestor:
		c.known.touch(&e.Ancestor.Process)
		if a := c.open(e, e.Ancestor.Of); a != nil {
			a.ancestor(e.Ancestor)
			c.grow(a, &e)
		}
		return done
	default:
		return append(done, c.attempt(e)...)
	}
}

// Pending returns the actions that Add has not: the unfinished ones, and those
// deferred. Oldest first.
func (c *Correlator) Pending() []Action {
	var all []Action
	for _, m := range []map[uint32]*Action{c.attempts, c.requests, c.deferred} {
		for _, a := range m {
			c.attribute(a)
			all = append(all, *a)
		}
	}
	slices.SortFunc(all, func(a, b Action) int { return int(a.Start - b.Start) })
	return all
}

// Dropped counts the unfinished actions that were given up for want of room.
func (c *Correlator) Dropped() uint64 { return c.dropped }

func (c *Correlator) attempt(e Event) (done []Action) {
	if c.isOver(e) {
		return nil
	}
	a := c.attempts[e.Thread.TID]
	if a != nil && !continues(a, e) {
		done = append(done, c.giveUp(a))
		a = nil
	}
	if a == nil {
		a = c.resume(e)
	}
	if a == nil {
		var evicted []Action
		a, evicted = c.begin(e)
		done = append(done, evicted...)
		done = append(done, c.retry(a, e)...)
	}
	if e.Kind == KindCallback {
		e.Callback = c.owned(&e)
	}
	add(a, e)
	a.latest = e.Time
	c.grow(a, &e)
	if e.Kind == KindStage && e.Step.Stage == StageRead {
		c.loads = append(c.loads, a)
		if len(c.loads) > maxLoads {
			c.loads = c.loads[1:]
		}
	}
	if ends(a, e) {
		c.drop(c.attempts, a)
		if a.Outcome != Pending && a.Kind == Load && !a.Partial {
			c.share(a)
			c.rival(a)
		}
		c.outline(a)
		c.helped(a)
		c.attribute(a)
		if isFirstTry(a) || mayReturn(a) {
			return append(done, c.deferAction(a)...)
		}
		done = append(done, *a)
	}
	return done
}

// continues tells whether e belongs to the action that its thread id has open.
// Otherwise the end of that one was lost, or the id now names another thread.
func continues(a *Action, e Event) bool {
	if e.Kind == KindEnter || a.Thread.PID != e.Thread.PID || a.Thread.Start != e.Thread.Start {
		return false
	}
	return e.Attempt == a.ID || e.Attempt == 0 && a.Partial
}

func (c *Correlator) begin(e Event) (*Action, []Action) {
	a := &Action{ID: e.Attempt, Kind: Load, Start: e.Time, Thread: e.Thread}
	if e.Kind != KindEnter {
		a.Partial = true
	}
	if a.ID == 0 {
		a.ID = ID(e.Time)
		a.Partial = true
	}
	if e.Kind == KindFree || e.Kind == KindModuleFree {
		a.Kind = Unload
	}
	evicted := c.evict()
	c.keep(c.attempts, a)
	return a, evicted
}

// evict gives unfinished actions up until there is room for one more: those of threads that
// may not load first, of these the oldest.
func (c *Correlator) evict() (evicted []Action) {
	for c.full() {
		c.dropped++
		oldest := c.takeOldest(c.attempts, c.requests)
		oldest.EndLost = true
		c.attribute(oldest)
		evicted = append(evicted, *oldest)
	}
	return evicted
}

// takeOldest takes the action that is to be given up first out of the map that has it.
func (c *Correlator) takeOldest(maps ...map[uint32]*Action) *Action {
	var oldest *Action
	var from map[uint32]*Action
	for _, m := range maps {
		for _, a := range m {
			if oldest == nil || a.goesBefore(oldest) {
				oldest, from = a, m
			}
		}
	}
	c.drop(from, oldest)
	return oldest
}

func (a *Action) goesBefore(b *Action) bool {
	if a.limited() != b.limited() {
		return a.limited()
	}
	return a.Start < b.Start
}

// limited tells what a thread does that may not load.
func (a *Action) limited() bool {
	return a.Call != nil && !a.Call.Capable || a.Request != nil && a.Request.Unprivileged
}

// ends decides whether e is the action's last event, and its outcome. This is
// the one place that does.
func ends(a *Action, e Event) bool {
	switch {
	case e.Kind == KindLeave:
		closeAttempt(a, e)
		finish(a, e.Time, e.Return.Value)
	case e.Kind == KindDied:
		closeAttempt(a, e)
		finish(a, e.Time, 0)
		a.Outcome, a.Crashed = Failed, true
	case !unhooked(a, e):
		return false
	case e.Kind == KindInitReturn:
		finish(a, e.Time, min(e.Return.Value, 0))
	case e.Kind == KindModuleFree && a.Kind == Unload:
		// An unload, or a load whose init failed and began unseen: the free
		// alone does not tell.
		finish(a, e.Time, 0)
		a.Outcome = Pending
	default:
		return false
	}
	return true
}

// unhooked tells a thread that was in its system call before the hooks were, so that its
// return is not hooked either; or whose entry was missed, which looks the same.
func unhooked(a *Action, e Event) bool { return a.Call == nil && e.Attempt == 0 }

func closeAttempt(a *Action, e Event) {
	a.Symbols, a.Lost = e.Return.Symbols, e.Return.Lost
	switch e.Return.Call {
	case DeleteModule:
		a.Kind = Unload
	case FinitModule, InitModule: // where all that was seen of it before was a free
		a.Kind = Load
	}
}

func finish(a *Action, at time.Duration, result int64) {
	closeStage(a, at)
	a.End, a.Took = at, at-a.Start
	switch {
	case result < 0:
		a.Outcome = Failed
		a.Errno = unix.Errno(-result)
		a.ErrnoName = ErrnoName(a.Errno)
	case a.Kind == Unload:
		a.Outcome = Unloaded
	default:
		a.Outcome = Live
	}
}
