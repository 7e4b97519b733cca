package journal

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// world is a kernel, and a service that watches it now and then and keeps a journal.
type world struct {
	t        *testing.T
	j        *Journal
	now      time.Time
	boot     int
	n        int
	loaded   map[string]bool
	watching bool
	sure     bool      // all that happened since the last inventory was seen
	kept     time.Time // of the last record

	times []time.Time // and what was loaded then
	truth []map[string]bool
	known []bool
}

func newWorld(t *testing.T) *world {
	return &world{t: t, j: make1(t), now: begin, boot: 1, loaded: map[string]bool{"ext4": true}}
}

func (w *world) record(kind Kind) Record {
	w.n++
	w.now = w.now.Add(time.Second)
	return Record{ID: fmt.Sprint("r-", w.n), Time: w.now, Boot: fmt.Sprint("boot-", w.boot), Kind: kind}
}

func (w *world) note(kind Kind) { w.add(w.record(kind)) }

func (w *world) add(r Record) {
	w.t.Helper()
	add(w.t, w.j, r)
	w.kept = r.Time
}

// die ends the watching without a word: how long it went on, the journal cannot know.
func (w *world) die() {
	w.watching, w.sure = false, false
	for i, at := range w.times {
		w.known[i] = w.known[i] && !at.After(w.kept)
	}
}

func (w *world) start() {
	w.note(KindStarted)
	w.watching = true
	w.inventory()
}

func (w *world) inventory() {
	head := w.record(KindInventory)
	var found []Record
	for _, m := range slices.Sorted(maps.Keys(w.loaded)) {
		r := w.record(KindPresent)
		r.Module, r.Time = m, head.Time
		found = append(found, r)
	}
	if _, err := w.j.AppendInventory(w.t.Context(), head, found); err != nil {
		w.t.Fatal(err)
	}
	w.sure, w.kept = true, head.Time
}

// change loads or unloads a module, seen or unseen.
func (w *world) change(module string, seen bool) {
	r := w.record(KindAction)
	r.Module, r.Action, r.Outcome = module, Load, Live
	if w.loaded[module] {
		r.Action, r.Outcome = Unload, Unloaded
		delete(w.loaded, module)
	} else {
		w.loaded[module] = true
	}
	if seen {
		w.add(r)
	}
}

// look keeps what is true now.
func (w *world) look() {
	w.now = w.now.Add(time.Second)
	w.times = append(w.times, w.now)
	w.truth = append(w.truth, maps.Clone(w.loaded))
	w.known = append(w.known, w.watching && w.sure)
	w.now = w.now.Add(time.Second)
}

// check asks for all the times at which something is true, from one on.
func (w *world) check(from time.Time) {
	w.t.Helper()
	for i, at := range w.times {
		if at.Before(from) {
			continue
		}
		got, err := w.j.LoadedAt(w.t.Context(), at)
		if err != nil {
			w.t.Fatal(err)
		}
		if w.known[i] != (len(got.Doubts) == 0) {
			w.t.Errorf("at %v: what is known is %v, and the doubts are %+v", at, w.known[i], got.Doubts)
		}
		if !w.known[i] {
			continue
		}
		if diff := cmp.Diff(slices.Sorted(maps.Keys(w.truth[i])), namesOf(got)); diff != "" {
			w.t.Errorf("at %v: %s", at, diff)
		}
	}
}

func namesOf(l *Loaded) (names []string) {
	for _, m := range l.Modules {
		names = append(names, m.Module)
	}
	return names
}

func (w *world) happen(random *rand.Rand) {
	module := fmt.Sprint("m", random.IntN(6))
	switch n := random.IntN(30); {
	case !w.watching && n < 15:
		w.start()
	case n < 2 && w.watching: // killed
		w.die()
	case n < 4 && w.watching:
		w.note(KindStopped)
		w.watching, w.sure = false, false
	case n < 5: // the machine starts again
		if w.watching {
			w.die()
		}
		w.boot++
		w.loaded = map[string]bool{"ext4": true}
	case n < 7 && w.watching:
		w.change(module, false)
		w.note(KindLost)
		w.sure = false
	case n < 9 && w.watching:
		w.inventory()
	default:
		w.change(module, w.watching)
	}
}

// Who loaded what an inventory found is known from the load, if that was seen.
func TestWhoLoaded(t *testing.T) {
	j := make1(t)
	at := func(n int) time.Time { return begin.Add(time.Duration(n) * time.Second) }
	present := func(n, i int, module string) Record { // some milliseconds after the inventory's time
		return Record{ID: fmt.Sprint("p-", n, i), Time: at(n).Add(time.Duration(i+1) * time.Millisecond), Boot: "boot-1", Module: module}
	}
	inventory := func(n int, modules ...string) {
		t.Helper()
		var found []Record
		for i, m := range modules {
			found = append(found, present(n, i, m))
		}
		if _, err := j.AppendInventory(t.Context(), Record{ID: fmt.Sprint("i-", n), Time: at(n), Boot: "boot-1"}, found); err != nil {
			t.Fatal(err)
		}
	}
	who := func(n int) map[string]string {
		t.Helper()
		l, err := j.LoadedAt(t.Context(), at(n))
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, m := range l.Modules {
			got[m.Module] = m.User
			if m.Unwatched {
				got[m.Module] += "?"
			}
		}
		return got
	}
	add(t, j, Record{ID: "s", Time: at(0), Boot: "boot-1", Kind: KindStarted})
	inventory(1, "ext4")
	add(t, j, load(2, "dummy"))
	inventory(3, "ext4", "dummy")
	if diff := cmp.Diff(map[string]string{"ext4": "", "dummy": "alice"}, who(3)); diff != "" {
		t.Error("at the time of the inventory:", diff)
	}
	if diff := cmp.Diff(map[string]string{"ext4": "", "dummy": "alice"}, who(4)); diff != "" {
		t.Error("watched:", diff)
	}
	add(t, j, Record{ID: "s2", Time: at(5), Boot: "boot-1", Kind: KindStarted})
	inventory(6, "ext4", "dummy")
	if diff := cmp.Diff(map[string]string{"ext4": "", "dummy": "alice?"}, who(7)); diff != "" {
		t.Error("with a gap between:", diff)
	}
	retain(t, j, Limits{Age: 1, KeepFrom: j.head.seq - 1}, at(8))
	if diff := cmp.Diff(map[string]string{"ext4": "", "dummy": "alice?"}, who(9)); diff != "" {
		t.Error("after retention:", diff)
	}
}

// The clock is set back by an hour, and later on by two: a time that was twice is
// answered for the last time, and one that never was is doubted.
func TestLoadedAtWhenTheClockWasSet(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.change("a", true)
	twice := w.now.Add(10 * time.Second)
	w.now = w.now.Add(time.Minute)
	w.change("b", true)
	w.now = begin.Add(-time.Hour)
	w.note(KindClock)
	w.change("c", true)
	w.now = twice.Add(-5 * time.Second)
	w.change("d", true)
	w.now = twice.Add(30 * time.Second)
	w.change("e", true)
	never := w.now.Add(time.Hour)
	w.now = w.now.Add(2 * time.Hour)
	w.note(KindClock)
	w.change("f", true)
	for _, c := range []struct {
		at      time.Time
		modules string
		reasons []Reason
	}{
		{begin.Add(-2 * time.Hour), "[]", []Reason{NotYet}},
		{begin.Add(-59 * time.Minute), "[a b c ext4]", nil},
		{twice, "[a b c d ext4]", []Reason{ClockSet}},
		{never, "[a b c d e ext4]", []Reason{ClockSet}},
		{w.now.Add(time.Hour), "[a b c d e ext4 f]", nil},
	} {
		got, err := w.j.LoadedAt(t.Context(), c.at)
		if err != nil {
			t.Fatal(err)
		}
		var reasons []Reason
		for _, d := range got.Doubts {
			reasons = append(reasons, d.Reason)
		}
		if names := fmt.Sprint(namesOf(got)); names != c.modules || !slices.Equal(reasons, c.reasons) {
			t.Errorf("at %v: %s, doubts %v", c.at, names, reasons)
		}
	}
}

func TestLoadedAtOfNothing(t *testing.T) {
	j := make1(t)
	got, err := j.LoadedAt(t.Context(), begin)
	if err != nil || len(got.Modules) != 0 || len(got.Doubts) != 1 || got.Doubts[0].Reason != NotYet {
		t.Errorf("%+v, %v", got, err)
	}
	pending := load(2, "stuck")
	pending.Outcome = Pending
	add(t, j, load(1, "m"), pending)
	got, err = j.LoadedAt(t.Context(), begin.Add(time.Minute))
	if err != nil || fmt.Sprint(namesOf(got)) != "[m]" || len(got.Doubts) != 2 || got.Doubts[0].Reason != NoInventory || got.Doubts[1] != (Doubt{Unfinished, 2, pending.Time.Local()}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// An inventory whose records are not its own is refused whole; one that is repeated is
// not.
func TestRepeatedInventory(t *testing.T) {
	j := make1(t)
	inventory := Record{ID: "i", Time: begin, Boot: "boot-1"}
	found := []Record{{ID: "p", Time: begin, Boot: "boot-1", Module: "m"}}
	for i := range 2 {
		done, err := j.AppendInventory(t.Context(), inventory, found)
		if err != nil || done[0].Repeated != (i == 1) || done[1].Seq != 2 {
			t.Errorf("%+v, %v", done, err)
		}
	}
	inventory.ID = "i2"
	if _, err := j.AppendInventory(t.Context(), inventory, found); err == nil {
		t.Error("an inventory with a module of another is accepted")
	}
	if got := all(t, j.Reader); len(got) != 2 {
		t.Errorf("%d records", len(got))
	}
	verify(t, j.Reader)
}
