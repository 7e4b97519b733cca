package tracer

import (
	"path"
	"slices"
	"strings"
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

// retryWithin is how long a refused attempt with a compressed file is held back, for
// its thread may decompress it and try again.
const retryWithin = 2 * time.Second

// Correlator builds actions from events. It is a pure function of the events in
// the order in which the ring delivers them: no clock, no kernel, no files. The
// zero value is not ready: use [NewCorrelator].
type Correlator struct {
	max      int
	dropped  uint64
	attempts map[uint32]*Action // by thread id
	requests map[uint32]*Action // by thread id: an init may itself request
	loads    []*Action          // that read their file, oldest first
	held     map[uint32]*Action // by thread id: ended, and perhaps only a first try
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
		held:     make(map[uint32]*Action),
	}
}

// Add takes the next event and returns the actions that it finishes: usually
// none or one; more where it also shows that the end of another was lost, or that
// one held back was no first try.
func (c *Correlator) Add(e Event) []Action {
	done := c.Release(e.Time)
	switch e.Kind {
	case KindRequest, KindRequestFormat:
		return append(done, c.request(e)...)
	case KindRequestReturn:
		return append(done, c.requestReturn(e)...)
	default:
		return append(done, c.attempt(e)...)
	}
}

// Holds tells whether an action is held back that may turn out to be a first try.
// Whoever has no more events then calls Release after a while.
func (c *Correlator) Holds() bool { return len(c.held) > 0 }

// Release returns the actions held back which at that time since boot are no
// first tries any more.
func (c *Correlator) Release(now time.Duration) (done []Action) {
	for tid, a := range c.held {
		if now-a.End > retryWithin {
			delete(c.held, tid)
			done = append(done, *a)
		}
	}
	slices.SortFunc(done, func(a, b Action) int { return int(a.End - b.End) })
	return done
}

// Pending returns the actions that Add has not: the unfinished ones, and those
// held back. Oldest first.
func (c *Correlator) Pending() []Action {
	var all []Action
	for _, m := range []map[uint32]*Action{c.attempts, c.requests, c.held} {
		for _, a := range m {
			all = append(all, *a)
		}
	}
	slices.SortFunc(all, func(a, b Action) int { return int(a.Start - b.Start) })
	return all
}

// Dropped counts the unfinished actions that were given up for want of room.
func (c *Correlator) Dropped() uint64 { return c.dropped }

func (c *Correlator) attempt(e Event) (done []Action) {
	a := c.attempts[e.Thread.TID]
	if a != nil && !continues(a, e) {
		done = append(done, c.giveUp(a))
		a = nil
	}
	if a == nil {
		var evicted []Action
		a, evicted = c.begin(e)
		done = append(done, evicted...)
		done = append(done, c.retry(a, e)...)
	}
	add(a, e)
	if e.Kind == KindStage && e.Step.Stage == StageRead {
		c.loads = append(c.loads, a)
		if len(c.loads) > maxLoads {
			c.loads = c.loads[1:]
		}
	}
	if ends(a, e) {
		delete(c.attempts, e.Thread.TID)
		if a.Outcome != Pending && a.Kind == Load && !a.Partial {
			c.share(a)
			c.rival(a)
		}
		c.helped(a)
		if isFirstTry(a) {
			if len(c.held) >= c.max {
				done = append(done, *takeOldest(c.held))
			}
			c.held[e.Thread.TID] = a
			return done
		}
		done = append(done, *a)
	}
	return done
}

// isFirstTry tells a compressed file that was given to a kernel as if it were
// none: programs do so before they decompress it themselves.
func isFirstTry(a *Action) bool {
	return a.Outcome == Failed && a.Errno == unix.ENOEXEC && a.Call != nil && a.Call.Call == FinitModule &&
		a.Image != nil && a.Image.Format.Compressed()
}

// retry ties a new attempt to the one of the same thread that is held back, or
// gives that one back where the new one is no load of bytes in memory: a load of a
// file may be of any file.
func (c *Correlator) retry(a *Action, e Event) []Action {
	first := c.held[e.Thread.TID]
	if first == nil {
		return nil
	}
	delete(c.held, e.Thread.TID)
	same := first.Thread.PID == e.Thread.PID && first.Thread.Start == e.Thread.Start
	if !same || e.Enter == nil || e.Enter.Call != InitModule {
		return []Action{*first}
	}
	for _, r := range c.requests {
		r.Loads = slices.DeleteFunc(r.Loads, func(id uint64) bool { return id == first.ID })
	}
	a.FirstTry = &FirstTry{
		ID: first.ID, Format: first.Image.Format, Errno: first.Errno, ErrnoName: first.ErrnoName, Took: first.Took,
	}
	// init_module shows no file; the first try did.
	a.File = first.File
	name(a, first.Module, first.NameFrom)
	return nil
}

// helped tells a request of a load that its helper made.
func (c *Correlator) helped(a *Action) {
	if a.Kind != Load || a.Call == nil || a.Call.ForRequest == 0 {
		return
	}
	for _, r := range c.requests {
		if r.ID == a.Call.ForRequest && len(r.Loads) < maxHelped {
			r.Loads = append(r.Loads, a.ID)
		}
	}
}

// rival finds the other load of that name which was in the way of a. The kernel
// says EEXIST or EBUSY then, by its version and by what became of the other.
func (c *Correlator) rival(a *Action) {
	if a.Errno != unix.EEXIST && a.Errno != unix.EBUSY && a.Errno != unix.EINTR && a.Errno != ERESTARTSYS {
		return
	}
	for _, l := range slices.Backward(c.loads) {
		if l != a && l.Module == a.Module && l.Start <= a.Start && (l.End == 0 || l.End > a.Start) {
			a.Rival = l.ID
			return
		}
	}
}

// continues tells whether e belongs to the action that its thread id has open.
// Otherwise the end of that one was lost, or the id now names another thread.
func continues(a *Action, e Event) bool {
	if e.Kind == KindEnter || a.Thread.PID != e.Thread.PID || a.Thread.Start != e.Thread.Start {
		return false
	}
	return e.Attempt == a.ID || e.Attempt == 0 && a.Partial
}

// giveUp takes an action out whose end will not come.
func (c *Correlator) giveUp(a *Action) Action {
	delete(c.attempts, a.Thread.TID)
	a.EndLost = true
	a.Outcome = Pending
	return *a
}

func (c *Correlator) begin(e Event) (*Action, []Action) {
	a := &Action{ID: e.Attempt, Kind: Load, Start: e.Time, Thread: e.Thread}
	if e.Kind != KindEnter {
		a.Partial = true
	}
	if a.ID == 0 {
		a.ID = uint64(e.Time)
		a.Partial = true
	}
	if e.Kind == KindFree || e.Kind == KindModuleFree {
		a.Kind = Unload
	}
	var evicted []Action
	if len(c.attempts)+len(c.requests) >= c.max {
		evicted = c.evict()
	}
	c.attempts[e.Thread.TID] = a
	return a, evicted
}

// evict gives the oldest unfinished action up.
func (c *Correlator) evict() []Action {
	c.dropped++
	oldest := takeOldest(c.attempts, c.requests)
	oldest.EndLost = true
	return []Action{*oldest}
}

// takeOldest takes the action that began first out of the map that has it.
func takeOldest(maps ...map[uint32]*Action) *Action {
	var oldest *Action
	var from map[uint32]*Action
	for _, m := range maps {
		for _, a := range m {
			if oldest == nil || a.Start < oldest.Start {
				oldest, from = a, m
			}
		}
	}
	delete(from, oldest.Thread.TID)
	return oldest
}

// add writes what e states into a.
func add(a *Action, e Event) {
	if !slices.Contains(a.Seen, e.Kind) {
		a.Seen = append(a.Seen, e.Kind)
	}
	switch e.Kind {
	case KindEnter:
		addEnter(a, e.Enter)
	case KindFile:
		addFile(a, e.File)
	case KindImage:
		a.Image = e.Image
	case KindDenied:
		a.Denial = e.Denial
	case KindLookup:
		// A load that finds another of its name waits and looks again: the first
		// is the one that tells what was in its way.
		if a.Lookup == nil || !a.Lookup.Found {
			a.Lookup = e.Lookup
		}
		name(a, e.Lookup.Name, NameKernel)
	case KindStage:
		addStage(a, e.Step.Stage, e.Time)
	case KindParams:
		a.Params = e.Params
		name(a, e.Params.Module, NameKernel)
	case KindModuleLoad, KindInit, KindFree, KindModuleFree:
		a.Details = e.Module
		name(a, e.Module.Name, NameKernel)
	case KindInitcall:
		a.InitResult = &e.Return.Value
	case KindInitReturn:
		closeStage(a, e.Time)
	case KindMessage:
		addMessage(a, e.Message)
	}
}

func addEnter(a *Action, call *Enter) {
	a.Call = call
	if call.Call == DeleteModule {
		a.Kind = Unload
		name(a, call.Text, NameClaimed)
	}
}

// addFile prefers the kernel's own file to the claimed one.
func addFile(a *Action, f *File) {
	if a.File == nil || a.File.Claimed {
		a.File = f
		name(a, moduleOfPath(f.Path), NameFile)
	}
}

func addStage(a *Action, s Stage, at time.Duration) {
	closeStage(a, at)
	a.Stage = s
	a.Stages = append(a.Stages, StageTime{Stage: s, After: at - a.Start})
}

// closeStage ends the stage that is open, if any.
func closeStage(a *Action, at time.Duration) {
	if n := len(a.Stages); n > 0 && a.Stages[n-1].Took == 0 {
		s := &a.Stages[n-1]
		s.Took = at - a.Start - s.After
	}
}

func addMessage(a *Action, m *Message) {
	n := len(a.Messages)
	switch {
	case n > 0 && m.Record != 0 && m.Record == a.lastRecord:
		a.Messages[n-1] = m.Text
	case n == maxMessages:
		a.MessagesDropped++
	default:
		a.Messages = append(a.Messages, m.Text)
	}
	a.lastRecord = m.Record
}

// name keeps the best name: sources are numbered best first.
func name(a *Action, text string, from NameSource) {
	if text == "" || a.NameFrom != NameUnknown && a.NameFrom < from {
		return
	}
	a.Module, a.NameFrom = text, from
}

// moduleOfPath is the name that a module in such a file has by convention:
// "/x/nf-tables.ko.xz" holds nf_tables.
func moduleOfPath(file string) string {
	base := path.Base(file)
	for _, suffix := range []string{".xz", ".gz", ".zst"} {
		base = strings.TrimSuffix(base, suffix)
	}
	base, found := strings.CutSuffix(base, ".ko")
	if !found {
		return ""
	}
	return strings.ReplaceAll(base, "-", "_")
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

// unhooked tells a thread that was in its system call before the hooks were:
// its return is not hooked either.
func unhooked(a *Action, e Event) bool { return a.Call == nil && e.Attempt == 0 }

func closeAttempt(a *Action, e Event) {
	a.Symbols, a.Lost = e.Return.Symbols, e.Return.Lost
	if e.Return.Call == DeleteModule {
		a.Kind = Unload
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

// share finds the load that gave a its result: a read no file itself, and
// another attempt that did was under way with the same file. Where only the
// caller says which file it was, a refusal may have come before any sharing.
func (c *Correlator) share(a *Action) {
	if a.File == nil || a.Saw(KindStage) || a.File.Claimed && a.Outcome != Live {
		return
	}
	for _, l := range slices.Backward(c.loads) {
		sameFile := l.File != nil && l.File.Device == a.File.Device && l.File.Inode == a.File.Inode
		if sameFile && l.Start <= a.End && (l.End == 0 || l.End >= a.Start) {
			a.SharedWith = l.ID
			a.Details = l.Details
			if l.NameFrom == NameKernel {
				name(a, l.Module, NameKernel)
			}
			return
		}
	}
}

func (c *Correlator) request(e Event) (done []Action) {
	if old := c.requests[e.Thread.TID]; old != nil {
		delete(c.requests, e.Thread.TID)
		old.EndLost = true
		done = append(done, *old)
	}
	if len(c.attempts)+len(c.requests) >= c.max {
		done = append(done, c.evict()...)
	}
	c.requests[e.Thread.TID] = &Action{
		ID:       uint64(e.Time),
		Kind:     Autoload,
		Module:   e.Request.Name,
		NameFrom: NameKernel,
		Start:    e.Time,
		Thread:   e.Thread,
		Request:  e.Request,
		Seen:     []Kind{e.Kind},
	}
	return done
}

func (c *Correlator) requestReturn(e Event) []Action {
	a := c.requests[e.Thread.TID]
	if a == nil || a.Thread.Start != e.Thread.Start {
		return nil
	}
	delete(c.requests, e.Thread.TID)
	a.Seen = append(a.Seen, KindRequestReturn)
	a.End, a.Took = e.Time, e.Time-a.Start
	status := e.Return.Value
	switch {
	case status < 0:
		a.Outcome = Failed
		a.Errno = unix.Errno(-status)
		a.ErrnoName = ErrnoName(a.Errno)
	case !a.Request.Wait:
		// Started and left alone: its result goes to nobody.
	case status > 0:
		a.Outcome = Failed
		a.HelperStatus = &status
	default:
		a.Outcome = Answered
		a.HelperStatus = &status
	}
	return []Action{*a}
}
