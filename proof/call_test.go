package proof

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/tracer"
	"golang.org/x/sys/unix"
)

func proven() tracer.Action {
	return tracer.Action{Kind: tracer.Load, Outcome: tracer.Live, Seen: []tracer.Kind{tracer.KindInit, tracer.KindInitReturn, tracer.KindLeave}}
}

func failedWith(errno unix.Errno) tracer.Action {
	return tracer.Action{Kind: tracer.Load, Outcome: tracer.Failed, Errno: errno, ErrnoName: tracer.ErrnoName(errno), Seen: []tracer.Kind{tracer.KindLeave}}
}

// TestVerdict: only an answer and the events that prove it are a confirmation.
func TestVerdict(t *testing.T) {
	enodev := &kmod.Error{Op: "load", Module: "x", Err: unix.ENODEV}
	unproven := proven()
	unproven.Seen = []tracer.Kind{tracer.KindEnter, tracer.KindModuleLoad, tracer.KindLeave}
	crashed := failedWith(0)
	crashed.Crashed = true
	request := tracer.Action{Kind: tracer.Autoload, Outcome: tracer.Failed}
	pending := tracer.Action{Kind: tracer.Load, Stage: tracer.StageInit}
	for name, test := range map[string]struct {
		call call
		want Verdict
		says string
	}{
		"yes and proven":             {call{answered: true, actions: []tracer.Action{proven()}}, Confirmed, ""},
		"yes and no event":           {call{answered: true}, Unconfirmed, "not seen"},
		"yes, proof missing":         {call{answered: true, actions: []tracer.Action{unproven}}, Unconfirmed, "not seen"},
		"yes and never ended":        {call{answered: true, actions: []tracer.Action{pending}}, Unconfirmed, "not seen"},
		"yes and failed":             {call{answered: true, actions: []tracer.Action{failedWith(unix.ENODEV)}}, Contradicted, "failed ENODEV"},
		"yes and unreadable":         {call{answered: true, readErr: errors.New("boom")}, Unconfirmed, "boom"},
		"someone was faster":         {call{answered: true, actions: []tracer.Action{failedWith(unix.EEXIST)}}, Confirmed, ""},
		"no and the same":            {call{answered: true, err: enodev, actions: []tracer.Action{failedWith(unix.ENODEV)}}, Refused, "no such device"},
		"no before any call":         {call{answered: true, err: enodev}, Refused, "no such device"},
		"no and another errno":       {call{answered: true, err: enodev, actions: []tracer.Action{failedWith(unix.EPERM)}}, Contradicted, "ENODEV"},
		"no and live":                {call{answered: true, err: enodev, actions: []tracer.Action{proven()}}, Contradicted, "live"},
		"no and never ended":         {call{answered: true, err: enodev, actions: []tracer.Action{pending}}, Unconfirmed, "ENODEV"},
		"not asked":                  {call{answered: true, err: &kmod.RefcountError{Count: -1}}, Refused, "refcount is negative (-1)"},
		"not asked, the last time":   {call{answered: true, err: &kmod.RefcountError{Count: -1}, actions: []tracer.Action{failedWith(unix.EAGAIN)}}, Refused, "refcount is negative (-1)"},
		"no answer, no event":        {call{}, Unconfirmed, "stopped waiting"},
		"no answer, at its init":     {call{actions: []tracer.Action{pending}}, Unconfirmed, "stage init"},
		"no answer: the thread died": {call{actions: []tracer.Action{crashed}}, Refused, "crashed"},
		"a request is another":       {call{answered: true, actions: []tracer.Action{proven(), request}}, Confirmed, ""},
		"a request is not proof":     {call{answered: true, actions: []tracer.Action{request}}, Unconfirmed, "not seen"},
	} {
		t.Run(name, func(t *testing.T) {
			test.call.kind = tracer.Load
			got, why := test.call.verdict()
			if got != test.want || (why == nil) != (test.says == "") || why != nil && !strings.Contains(why.Error(), test.says) {
				t.Errorf("%s: %v; want %s: %q", got, why, test.want, test.says)
			}
		})
	}
}

// play makes a collector that sees what the test sends, as done by its own thread. It reads
// no kernel.
func play(t *testing.T) (*collector, chan<- tracer.Action) {
	t.Helper()
	sent := make(chan tracer.Action, 16)
	c := &collector{caller: newCaller()}
	c.read(func(ctx context.Context) iter.Seq2[tracer.Action, error] {
		context.AfterFunc(ctx, func() { close(sent) }) // what was sent comes before the end
		return func(yield func(tracer.Action, error) bool) {
			for a := range sent {
				a.Thread = tracer.Thread{PID: c.caller.pid, TID: c.caller.tid, Comm: c.caller.name}
				if !yield(a, nil) {
					return
				}
			}
		}
	})
	t.Cleanup(c.close)
	return c, sent
}

func TestCallWaitsForEvents(t *testing.T) {
	c, seen := play(t)
	made := c.call(t.Context(), tracer.Load, func() error {
		time.AfterFunc(20*time.Millisecond, func() { seen <- proven() })
		return nil
	})
	if v, why := made.verdict(); v != Confirmed {
		t.Errorf("%s: %v", v, why)
	}
}

// TestCallNotAsked: where the kernel was not asked nobody waits for what it did. The test is
// over at once, or ends by the five seconds that events may take.
func TestCallNotAsked(t *testing.T) {
	c, _ := play(t)
	begun := time.Now()
	made := c.call(t.Context(), tracer.Unload, func() error { return &kmod.RefcountError{Count: -1} })
	if v, why := made.verdict(); v != Refused || !errors.Is(why, kmod.ErrNegativeRefcount) {
		t.Errorf("%s: %v", v, why)
	}
	if took := time.Since(begun); took >= afterAnswer {
		t.Errorf("waited %v for events", took)
	}
	// The thread goes on with the next.
	made = c.call(t.Context(), tracer.Unload, func() error { return &kmod.RefcountError{Count: -2} })
	if v, why := made.verdict(); v != Refused || !strings.Contains(why.Error(), "(-2)") {
		t.Errorf("%s: %v", v, why)
	}
}

// TestCallAsksAgain: an unload that waits is refused some times first.
func TestCallAsksAgain(t *testing.T) {
	c, seen := play(t)
	busy := failedWith(unix.EAGAIN)
	busy.Kind = tracer.Unload
	made := c.call(t.Context(), tracer.Unload, func() error {
		seen <- busy
		seen <- busy
		seen <- tracer.Action{Kind: tracer.Unload, Outcome: tracer.Unloaded, Seen: []tracer.Kind{tracer.KindFree, tracer.KindLeave}}
		return nil
	})
	if v, why := made.verdict(); v != Confirmed || len(made.actions) != 3 {
		t.Errorf("%s: %v, %d actions", v, why, len(made.actions))
	}
}

// TestCallInterrupted: the waiting ends, though the kernel does not.
func TestCallInterrupted(t *testing.T) {
	c, seen := play(t)
	ctx, cancel := context.WithCancel(t.Context())
	block := make(chan struct{})
	t.Cleanup(func() { close(block) })
	seen <- tracer.Action{Kind: tracer.Load, Stage: tracer.StageInit}
	time.AfterFunc(20*time.Millisecond, cancel)
	made := c.call(ctx, tracer.Load, func() error { <-block; return nil })
	if v, why := made.verdict(); v != Unconfirmed || !strings.Contains(why.Error(), "stage init") {
		t.Errorf("%s: %v", v, why)
	}
}

// TestCallThreadDies: no answer will ever come.
func TestCallThreadDies(t *testing.T) {
	c, seen := play(t)
	block := make(chan struct{})
	t.Cleanup(func() { close(block) })
	crashed := failedWith(0)
	crashed.Crashed = true
	seen <- crashed
	made := c.call(t.Context(), tracer.Load, func() error { <-block; return nil })
	if v, _ := made.verdict(); v != Refused {
		t.Errorf("%s", v)
	}
}

func TestCallerKnowsItself(t *testing.T) {
	named := &caller{name: "kmodtrace-ABCDE", pid: 5, tid: 6}
	numbered := &caller{pid: 5, tid: 6}
	for _, test := range []struct {
		caller *caller
		who    tracer.Thread
		want   bool
	}{
		{numbered, tracer.Thread{PID: 5, TID: 6, Comm: "kmodtrace"}, true},
		{numbered, tracer.Thread{PID: 5, TID: 7, Comm: "kmodtrace"}, false}, // another thread of ours
		{numbered, tracer.Thread{PID: 9, TID: 6, Comm: "kmodtrace"}, false},
		{named, tracer.Thread{PID: 5005, TID: 5006, Comm: "kmodtrace-ABCDE"}, true},
		{named, tracer.Thread{PID: 5, TID: 6, Comm: "kmodtrace"}, false}, // the same numbers in the first namespace
		{named, tracer.Thread{PID: 5005, TID: 5006, Comm: "kmodtrace-ABCDF"}, false},
	} {
		if got := test.caller.is(test.who); got != test.want {
			t.Errorf("%+v is %+v: %v", test.caller, test.who, got)
		}
	}
}

// TestCallerIsOneThread: what it does is done by the thread that it says it is.
func TestCallerIsOneThread(t *testing.T) {
	c := newCaller()
	defer c.close()
	for range 10 {
		var tid int
		if err := <-c.begin(func() error { tid = unix.Gettid(); return nil }); err != nil {
			t.Fatal(err)
		}
		if uint32(tid) != c.tid {
			t.Fatalf("thread %d, want %d", tid, c.tid)
		}
	}
	if len(c.name) > 15 {
		t.Errorf("the kernel cuts the name %q", c.name)
	}
}

// threadOf gives a thread that is the caller's where it has its id.
func threadOf(c *caller, tid uint32) tracer.Thread {
	if tid != c.tid {
		return tracer.Thread{PID: c.pid, TID: tid, Comm: "another"}
	}
	return tracer.Thread{PID: c.pid, TID: tid, Comm: c.name}
}

// TestCollectorTakesItsOwn: what other threads do is nobody's proof, and a failure of reading
// is told.
func TestCollectorTakesItsOwn(t *testing.T) {
	c := &collector{caller: newCaller()}
	boom := errors.New("boom")
	c.read(func(context.Context) iter.Seq2[tracer.Action, error] {
		return func(yield func(tracer.Action, error) bool) {
			for _, tid := range []uint32{c.caller.tid + 1, c.caller.tid, c.caller.tid + 1} {
				if !yield(tracer.Action{ID: tracer.ID(tid), Thread: threadOf(c.caller, tid)}, nil) {
					return
				}
			}
			yield(tracer.Action{}, boom)
		}
	})
	rest := c.tail.Finish()
	if len(rest) != 1 || rest[0].Thread.TID != c.caller.tid || !errors.Is(c.tail.Err, boom) {
		t.Errorf("%v, %v", rest, c.tail.Err)
	}
	c.close()
}
