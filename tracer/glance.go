package tracer

import "time"

// glances are the looks at the ring while something is under way: the kernel side wakes nobody
// between the beginning of an action and its end (bpf/ring.h).
type glances struct {
	open map[underWay]bool
	wait time.Duration // until the next one
}

// underWay is a thread in an attempt or in a request: it can be in both.
type underWay struct {
	tid     uint32
	request bool
}

// While events come, an event is given at most firstGlance after it happened. An action that is
// silent for long, or whose end was lost, costs a glance for each lastGlance.
const (
	firstGlance = 50 * time.Millisecond
	lastGlance  = time.Second
)

// saw takes an event.
func (g *glances) saw(e *Event) {
	g.wait = firstGlance
	switch thread := e.Thread.TID; e.Kind {
	case KindEnter:
		g.add(underWay{thread, false})
	case KindLeave, KindDied:
		delete(g.open, underWay{thread, false})
	case KindRequest, KindRequestFormat:
		g.add(underWay{thread, true})
	case KindRequestReturn:
		delete(g.open, underWay{thread, true})
	}
}

func (g *glances) add(u underWay) {
	if g.open == nil {
		g.open = make(map[underWay]bool)
	}
	g.open[u] = true
}

// sawNothing: the next glance is later.
func (g *glances) sawNothing() { g.wait = min(2*g.wait, lastGlance) }

// next is when to look again; zero where nothing is under way.
func (g *glances) next() time.Time {
	if len(g.open) == 0 {
		return time.Time{}
	}
	return time.Now().Add(g.wait)
}
