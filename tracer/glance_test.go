package tracer

import (
	"testing"
	"time"
)

// TestGlances: the ring is looked at again while anything is under way, ever more seldom where
// nothing comes, and not at all otherwise.
func TestGlances(t *testing.T) {
	event := func(kind Kind, tid uint32) *Event { return &Event{Kind: kind, Thread: Thread{TID: tid}} }
	var g glances
	check := func(when string, want time.Duration) {
		t.Helper()
		next, late := g.next(), time.Second
		switch left := time.Until(next); {
		case want == 0 && !next.IsZero():
			t.Errorf("%s: looks again in %s", when, left)
		case want != 0 && (next.IsZero() || left > want || left < want-late):
			t.Errorf("%s: looks again in %s; want %s", when, left, want)
		}
	}
	check("at first", 0)
	g.saw(event(KindModuleLoad, 7))
	check("after what belongs to nothing", 0)
	g.saw(event(KindEnter, 7))
	check("in an attempt", firstGlance)
	for range 10 {
		g.sawNothing()
	}
	check("in a silent attempt", lastGlance)
	g.saw(event(KindRequest, 7))
	check("in a request inside it", firstGlance)
	g.saw(event(KindRequestReturn, 7))
	check("after that", firstGlance)
	g.saw(event(KindLeave, 8))
	check("at the end of another thread's", firstGlance)
	g.saw(event(KindDied, 7))
	check("after the end", 0)
}
