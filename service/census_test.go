package service

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// listed makes a kernel's list: names, with "…" for what is being loaded and "!" for what is
// being unloaded.
func listed(names string) (all []kmod.Module) {
	for name := range strings.FieldsSeq(names) {
		m := kmod.Module{Name: strings.TrimRight(name, "…!"), State: kmod.StateLive, Holders: []string{}, Taints: []kmod.Taint{}}
		switch {
		case strings.HasSuffix(name, "…"):
			m.State = kmod.StateLoading
		case strings.HasSuffix(name, "!"):
			m.State = kmod.StateUnloading
		}
		all = append(all, m)
	}
	return all
}

// TestCensus: in all interleavings of what the kernel did, what was seen of it, and looks, a
// module is said to have appeared or vanished if and only if nobody was seen to do it, and
// once.
func TestCensus(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps string // "=" list: a look; "+x", "-x", "?x", "*": what was seen: a load, an unload, one without its end, one without a name
		want  string
	}{
		{"nothing", "=a b|=a b|=a b", ""},
		{"a load that is seen first", "+c|=a b c|=a b c", ""},
		{"a load in the pipeline", "=a b c|+c|=a b c|=a b c", ""},
		{"an unload in the pipeline", "=a|-b|=a|=a", ""},
		{"an unload that is seen first", "-b|=a|=a", ""},
		{"unloaded and loaded again between two looks", "=a|-b|+b|=a b|=a b", ""},
		{"unloaded, loaded and unloaded again", "=a|-b|+b|=a|-b|=a|=a", ""},
		{"loaded and unloaded between two looks", "=a b c|+c|-c|=a b|=a b", ""},
		{"the same changed by others between two looks", "=a b c|+c|-c|=a b c|=a b c|=a b c", "+c"},
		{"an init under way", "=a b c…|=a b c…|=a b c…", ""},
		{"an init under way, then loaded", "=a b c…|=a b c…|+c|=a b c|=a b c", ""},
		{"an init under way, then failed", "=a b c…|=a b c…|=a b|=a b", ""},
		{"an init that ended, in the pipeline", "=a b c…|=a b c|+c|=a b c", ""},
		{"an exit under way", "=a b!|=a b!|-b|=a|=a", ""},
		{"an exit that ended, in the pipeline", "=a b!|=a|-b|=a|=a", ""},
		{"nobody loaded it", "=a b c|=a b c|=a b c|=a b c", "+c"},
		{"nobody unloaded it", "=a|=a|=a|=a", "-b"},
		{"it went and came back", "=a|=a|=a b|=a b|=a b", "-b +b"},
		{"it came and went for a look only", "=a b c|=a b|=a b c|=a b|=a b", ""},
		{"loaded by nobody, unloaded in sight", "=a b c|=a b c|-c|=a b|=a b", "+c"},
		{"a load whose end is lost", "?c|=a b c|=a b c|=a b c", ""},
		{"a load whose end is lost and that failed", "?c|=a b|=a b|=a b c|=a b c", "+c"},
		{"a load without a name", "*|=a b c|=a b c|=a b c d|=a b c d", "+d"},
		{"several", "=b c d|=b c d", "-a +c +d"},
	} {
		n := newCensus()
		n.inventory(listed("a b"))
		var got []string
		for step := range strings.SplitSeq(c.steps, "|") {
			a := &tracer.Action{Kind: tracer.Load, Module: strings.Trim(step, "+-?*"), Call: &tracer.Enter{Capable: true}}
			switch step[0] {
			case '=':
				found, _ := n.look(listed(step[1:]))
				for _, d := range found {
					sign := "-"
					if d.there {
						sign = "+"
					}
					got = append(got, sign+d.module.Name)
				}
				continue
			case '+':
				a.Outcome = tracer.Live
			case '-':
				a.Kind, a.Outcome = tracer.Unload, tracer.Unloaded
			case '?':
				a.Outcome = tracer.Pending
			case '*':
				a.Outcome = tracer.Live
			}
			n.saw(a)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %q", c.name, strings.Join(got, " "), c.want)
		}
	}
}

// TestCensusRefused: whoever is refused changes nothing of what is known.
func TestCensusRefused(t *testing.T) {
	n := newCensus()
	n.inventory(listed("a b"))
	for range 3 {
		n.saw(refused(1000, "c"))
		n.saw(with(refused(1000, "c"), func(a *tracer.Action) { a.Outcome = tracer.Pending }))
		n.saw(with(refused(1000, ""), func(a *tracer.Action) { a.Outcome = tracer.Pending }))
	}
	n.look(listed("a b c"))
	if found, _ := n.look(listed("a b c")); len(found) != 1 {
		t.Errorf("%+v", found)
	}
}

// TestCensusInventory: what was being loaded or unloaded while the inventory was taken is
// no difference, however it ended.
func TestCensusInventory(t *testing.T) {
	for _, later := range []string{"a", "a x"} {
		n := newCensus()
		n.inventory(listed("a x…"))
		for range 3 {
			if found, _ := n.look(listed(later)); len(found) > 0 {
				t.Errorf("%s: %+v", later, found)
			}
		}
	}
}

// TestCompare: a module that nobody was seen to load is a record of its own, once; nothing is
// said while actions are on their way.
func TestCompare(t *testing.T) {
	s := withJournal(t)
	s.census.inventory(listed("a b"))
	list := func(*kmod.ListOptions) ([]kmod.Module, error) { return listed("a x"), nil }
	fake := s.tracer.(*quietKernel)
	fake.set(func(k *quietKernel) { k.backlog = 1 })
	s.compare(list)
	s.compare(list)
	fake.set(func(k *quietKernel) { k.backlog = 0 })
	s.intake.put(loadOf(1, "x"))
	s.compare(list)
	s.compare(list)
	s.intake.take()
	s.compare(list)
	s.compare(list)
	s.intake.recorded()
	if kinds := s.kinds(t); len(kinds) != 0 {
		t.Fatalf("while actions are on their way it records %v", kinds)
	}
	for range 3 {
		s.compare(list)
	}
	if kinds := s.kinds(t); !slices.Equal(kinds, []journal.Kind{journal.KindVanished, journal.KindAppeared}) {
		t.Errorf("the journal has %v", kinds)
	}
	for r, err := range s.journal.Query(t.Context(), journal.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		validate(t, "record", r.Document())
		if e := entryOf(&r); !strings.HasPrefix(e.Text, r.Module+" is ") || !strings.Contains(e.Text, "nobody was seen") {
			t.Errorf("%q", e.Text)
		}
	}
}

// TestDisturbances: what keeps hooks from running is a gap when it begins and when it ends;
// what is counted is one each time.
func TestDisturbances(t *testing.T) {
	s := withJournal(t)
	off := tracer.Disturbance{What: "kprobes", Why: "turned off"}
	for _, now := range [][]tracer.Disturbance{
		nil, {off}, {off}, nil, {{What: "load", Why: "its entry is gone", Count: 1}}, {{What: "load", Why: "its entry is gone", Count: 1}},
		{{What: "load", Why: "its entry is gone", Count: 3}, off}, {off},
	} {
		s.checkDisturbances(now)
		if len(now) > 0 {
			if err := s.metrics.unhealthy(); err == nil || !strings.Contains(err.Error(), "hooks") {
				t.Errorf("with %v it is healthy: %v", now, err)
			}
		}
	}
	var texts []string
	for r, err := range s.journal.Query(t.Context(), journal.Filter{OldestFirst: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind != journal.KindBlind {
			t.Errorf("a record of the kind %s", r.Kind)
		}
		texts = append(texts, entryOf(&r).Text)
	}
	want := []string{"from here on: kprobes", "over: kprobes", "missed something: load", "missed something: load", "from here on: kprobes"}
	if len(texts) != len(want) {
		t.Fatalf("%q", texts)
	}
	for i := range want {
		if !strings.Contains(texts[i], want[i]) {
			t.Errorf("%q, want %q", texts[i], want[i])
		}
	}
	select {
	case <-s.lookAtIt:
	default:
		t.Error("the modules are not compared after a gap")
	}
}

// TestDisturbancesUnwritten: gaps that cannot be written wait, with their times, in bounds.
func TestDisturbancesUnwritten(t *testing.T) {
	var w watched
	for i := range 2 * maxUnrecorded {
		w.update([]tracer.Disturbance{{What: "x", Why: "y", Count: uint64(i + 1)}})
		w.tell(func(blind) error { return fmt.Errorf("no room") })
	}
	n := 0
	var last blind
	w.tell(func(b blind) error { n++; last = b; return nil })
	if n != maxUnrecorded || !strings.Contains(last.text, "so often") || time.Since(last.at) > time.Hour {
		t.Errorf("%d, the last %+v", n, last)
	}
}
