package follow

import (
	"slices"
	"time"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// family is a process whose descendants are told from all other processes, by what the
// kernel calls it: in a container that is not what it calls itself.
type family struct {
	pid   uint32
	start time.Duration
}

// tie is what an action has to do with a family, the weakest first.
type tie uint8

const (
	foreign tie = iota
	unknown     // not known: who did it was not seen, or not far enough back
	related     // a descendant did it, or it was done for one's sake
)

// tie looks at who did it and at all for whose sake it was done.
func (f family) tie(a *tracer.Action) tie {
	t := max(f.descends(a.Actor, a.Thread), f.made(a.Actor))
	if a.Partial && a.Actor == nil {
		// Begun before there was a family, unless its beginning was lost, and then
		// something was lost and is said.
		t = foreign
	}
	for r := range a.Requesters() {
		t = max(t, f.descends(r.Actor, r.Thread), f.made(r.Actor))
	}
	return t
}

// made tells whether a kernel thread is of a descendant's making.
func (f family) made(a *tracer.Actor) tie {
	t := foreign
	for by := range a.Creators() {
		t = max(t, f.descends(by, by.Thread()))
	}
	return t
}

// descends tells whether an actor descends from the family's process, which itself does
// not. A process that is older than that cannot.
func (f family) descends(a *tracer.Actor, thread tracer.Thread) tie {
	if a == nil {
		if thread.Start < f.start || f.is(tracer.Process{PID: thread.PID, Start: thread.Start}) {
			return foreign
		}
		return unknown
	}
	oldest := a.Process
	if n := len(a.Ancestors); n > 0 {
		oldest = a.Ancestors[n-1]
	}
	switch {
	case f.is(a.Process):
		return foreign
	case slices.ContainsFunc(a.Ancestors, f.is):
		return related
	case a.AncestorsCut && oldest.Start >= f.start:
		return unknown
	}
	return foreign
}

func (f family) is(p tracer.Process) bool { return p.PID == f.pid && p.Start == f.start }
