package service

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/provenance"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// loadOf is a load by root that went well.
func loadOf(id tracer.ID, module string) *tracer.Action {
	return &tracer.Action{ID: id, Kind: tracer.Load, Module: module, Outcome: tracer.Live, Time: time.Now(), Seen: []tracer.Kind{}, Call: &tracer.Enter{Call: tracer.FinitModule, Capable: true}, Actor: someone(0, allCapabilities, true)}
}

// TestIntakeOrder: loads go first, then root's requests, then what is minor, each in its
// order.
func TestIntakeOrder(t *testing.T) {
	q := newIntake(newFolds())
	root := someone(0, allCapabilities, true)
	for i := range 3 {
		q.put(with(refused(1000, fmt.Sprint("minor", i)), func(*tracer.Action) {}))
		q.put(with(request(root), func(a *tracer.Action) { a.Module = fmt.Sprint("request", i) }))
		q.put(loadOf(tracer.ID(i), fmt.Sprint("load", i)))
	}
	var got []string
	for range 9 {
		w, ok := q.take()
		if !ok {
			t.Fatal("it ends")
		}
		got = append(got, w.action.Module)
		q.recorded()
	}
	if want := "load0 load1 load2 request0 request1 request2 minor0 minor1 minor2"; strings.Join(got, " ") != want {
		t.Errorf("%v", got)
	}
	q.end()
	if _, ok := q.take(); ok {
		t.Error("there is more")
	}
}

// TestIntakeTogether: the record of an action waits for none that is less urgent.
func TestIntakeTogether(t *testing.T) {
	q := newIntake(newFolds())
	ask := func(name string) {
		q.put(with(request(someone(0, allCapabilities, true)), func(a *tracer.Action) { a.Module = name }))
	}
	ask("request0")
	ask("request1")
	q.put(with(refused(1000, "minor"), func(*tracer.Action) {}))
	var w waiting
	next := func(take func() (waiting, bool), want string) {
		t.Helper()
		name := ""
		if got, ok := take(); ok {
			w, name = got, got.action.Module
		}
		if name != want {
			t.Errorf("got %q, want %q", name, want)
		}
	}
	poll := func() (waiting, bool) { return q.poll(&w) }
	next(q.take, "request0")
	q.put(loadOf(1, "load0"))
	next(poll, "load0")
	q.put(loadOf(2, "load1"))
	next(poll, "load1")
	next(poll, "")
	next(q.take, "request1")
	next(poll, "")
	next(q.take, "minor")
}

// TestIntakeFlood: whatever users do, a load waits behind nothing of theirs, what waits is
// bounded, and each attempt is counted or waits.
func TestIntakeFlood(t *testing.T) {
	f := newFolds()
	q := newIntake(f)
	const flood = 100_000
	long := someone(1000, 0, true)
	for i := range flood {
		a := refused(uint32(1000+i%5000), fmt.Sprint("x", i))
		if i%2 == 0 {
			a = request(long)
		}
		q.put(a)
	}
	q.put(loadOf(1, "real"))
	if w, _ := q.take(); w.action.Module != "real" {
		t.Errorf("%s goes first", w.action.Module)
	}
	q.recorded()
	n, _ := q.waitingNow()
	if n > inMemoryMinor {
		t.Errorf("%d wait", n)
	}
	sum := uint64(n)
	for _, of := range f.totals() {
		sum += of
	}
	if sum != flood {
		t.Errorf("%d of %d are counted or wait", sum, flood)
	}
}

// TestIntakeHurry: of many requests that wait those that came late are not looked into.
func TestIntakeHurry(t *testing.T) {
	q := newIntake(newFolds())
	root := someone(0, allCapabilities, true)
	for range hurryRequests + 5 {
		q.put(request(root))
	}
	hurried := 0
	for range hurryRequests + 5 {
		if w, _ := q.take(); w.hurry != "" {
			hurried++
		}
	}
	if hurried != 5 {
		t.Errorf("%d", hurried)
	}
}

// TestIntakeFull: what is not minor waits outside while there is no room, also by bytes, and
// no longer when nobody takes any more.
func TestIntakeFull(t *testing.T) {
	for name, text := range map[string]string{"number": "", "bytes": strings.Repeat("m", 1<<20)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newIntake(newFolds())
				done := false
				go func() {
					for i := range 2 * inMemory {
						q.put(with(loadOf(tracer.ID(i), "m"), func(a *tracer.Action) { a.Messages = []string{text} }))
					}
					done = true
				}()
				synctest.Wait()
				n, _ := q.waitingNow()
				if most := max(maxWeight>>20, 1); done || n > inMemory || text != "" && n > most {
					t.Errorf("%d wait", n)
				}
				if _, ok := q.take(); !ok {
					t.Error("nothing is there")
				}
				synctest.Wait()
				if again, _ := q.waitingNow(); again != n {
					t.Errorf("%d wait, and %d did", again, n)
				}
				if left := q.leave(); left != n {
					t.Errorf("%d are left", left)
				}
				synctest.Wait()
				if !done || q.lostSince() != 2*inMemory-n-1 {
					t.Errorf("%d are put then", q.lostSince())
				}
			})
		})
	}
}

// TestIntakePatience: a minor action that others keep waiting is counted after a while, and
// at the end.
func TestIntakePatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFolds()
		q := newIntake(f)
		q.put(refused(1000, "old"))
		time.Sleep(minorPatience)
		q.put(refused(1000, "new"))
		if w, _ := q.take(); w.action.Module != "new" {
			t.Errorf("%s is recorded", w.action.Module)
		}
		q.put(refused(1000, "last"))
		q.end()
		if _, ok := q.take(); ok {
			t.Error("a minor one keeps the service from ending")
		}
		if due := f.take(true); len(due) != 1 || due[0].Count != 2 || due[0].Unqueued != 2 {
			t.Errorf("%+v", due)
		}
	})
}

// TestStuck: what waits while nothing is done ages, and so does what is being recorded; the
// watchdog is told no more.
func TestStuck(t *testing.T) {
	s := withJournal(t)
	j, log := s.journal, s.log
	synctest.Test(t, func(t *testing.T) {
		s := newService("", new(Config), log)
		s.keeper = newKeeper(j, log)
		time.Sleep(time.Hour)
		if !s.well() || s.intake.stuck() != 0 {
			t.Error("nothing to do is not stuck")
		}
		s.intake.put(loadOf(1, "a"))
		if _, ok := s.intake.take(); !ok {
			t.Fatal("nothing is there")
		}
		time.Sleep(idleAfter - time.Second)
		if _, oldest := s.intake.waitingNow(); oldest != idleAfter-time.Second || !s.well() {
			t.Errorf("it waits since %v; well: %v", oldest, s.well())
		}
		time.Sleep(2 * time.Second)
		if s.well() {
			t.Error("the watchdog is told that all is well")
		}
		s.intake.recorded()
		if _, oldest := s.intake.waitingNow(); oldest != 0 || !s.well() {
			t.Errorf("recorded, it waits since %v", oldest)
		}
		// What waited for long is no reason as long as something is done.
		for i := range uint64(3) {
			s.intake.put(loadOf(tracer.ID(i), "b"))
		}
		for range 3 {
			time.Sleep(idleAfter - time.Second)
			s.intake.take()
			s.intake.recorded()
		}
		if _, oldest := s.intake.waitingNow(); oldest != 0 || !s.well() {
			t.Errorf("it waits since %v; well: %v", oldest, s.well())
		}
	})
}

// hungInquiry answers nothing about some modules until a test ends.
type hungInquiry struct {
	hangs func(string) bool
	until <-chan struct{}
}

func (h hungInquiry) All(_ context.Context, a *tracer.Action) record.Record {
	if h.hangs(a.Module) {
		<-h.until
	}
	a.Request = &tracer.Request{Name: "written late"} // what is left behind may write
	return record.Record{Action: *a}
}

func (hungInquiry) Hung() []provenance.Hung { return nil }
func (hungInquiry) Health() error           { return nil }

// TestAskerHangs: a look-up that never answers delays one action by its deadline; the
// record says so, and with several of them nothing is looked into until they answer.
func TestAskerHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		until := make(chan struct{})
		k := newAsker(func() inquiry { return hungInquiry{func(m string) bool { return strings.HasPrefix(m, "hung") }, until} })
		began := time.Now()
		ask := func(module string) string { return k.ask(t.Context(), loadOf(1, module)).NotLookedUp }
		if why := ask("hung1"); !strings.Contains(why, "no answer within") || time.Since(began) != lookUpWithin {
			t.Errorf("after %v: %q", time.Since(began), why)
		}
		if why := ask("good"); why != "" || k.health() == nil || k.hung() != 1 {
			t.Errorf("%q, %v", why, k.health())
		}
		for i := 2; i <= maxStuck; i++ {
			ask(fmt.Sprint("hung", i))
		}
		began = time.Now()
		if why := ask("good"); !strings.Contains(why, "4 earlier look-ups") || time.Since(began) != 0 {
			t.Errorf("%q", why)
		}
		close(until)
		synctest.Wait()
		if why := ask("good"); why != "" || k.health() != nil || k.hung() != 0 {
			t.Errorf("%q, %v", why, k.health())
		}
	})
}

// TestLookUpHangs: a service whose look-up never answers goes on recording, says which
// records it is missing from, and is not healthy.
func TestLookUpHangs(t *testing.T) {
	s := withJournal(t)
	forever := make(chan struct{})
	defer close(forever)
	s.asker = newAsker(func() inquiry { return hungInquiry{func(m string) bool { return m == "hung" }, forever} })
	s.asker.within = 50 * time.Millisecond
	ended := make(chan error, 1)
	go func() { ended <- s.record(t.Context()) }()
	s.intake.put(loadOf(1, "hung"))
	s.intake.put(loadOf(2, "real"))
	until(t, "both are recorded", func() bool { _, oldest := s.intake.waitingNow(); return oldest == 0 })
	if err := s.metrics.unhealthy(); err == nil || !strings.Contains(err.Error(), "look-ups") {
		t.Errorf("healthy: %v", err)
	}
	s.intake.end()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for r, err := range s.journal.Query(t.Context(), journal.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		var a record.Record
		if err := json.Unmarshal(r.Body, &a); err != nil {
			t.Fatal(err)
		}
		got[r.Module] = a.NotLookedUp
		if r.Module == "hung" {
			validate(t, "record", r.Document())
		}
	}
	if len(got) != 2 || got["hung"] == "" || got["real"] != "" {
		t.Errorf("%v", got)
	}
}
