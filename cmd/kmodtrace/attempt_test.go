package main

import (
	"context"
	"errors"
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
		attempt attempt
		want    verdict
		says    string
	}{
		"yes and proven":             {attempt{answered: true, actions: []tracer.Action{proven()}}, confirmed, ""},
		"yes and no event":           {attempt{answered: true}, unconfirmed, "not seen"},
		"yes, proof missing":         {attempt{answered: true, actions: []tracer.Action{unproven}}, unconfirmed, "not seen"},
		"yes and never ended":        {attempt{answered: true, actions: []tracer.Action{pending}}, unconfirmed, "not seen"},
		"yes and failed":             {attempt{answered: true, actions: []tracer.Action{failedWith(unix.ENODEV)}}, contradicted, "failed ENODEV"},
		"yes and unreadable":         {attempt{answered: true, readErr: errors.New("boom")}, unconfirmed, "boom"},
		"someone was faster":         {attempt{answered: true, actions: []tracer.Action{failedWith(unix.EEXIST)}}, confirmed, ""},
		"no and the same":            {attempt{answered: true, err: enodev, actions: []tracer.Action{failedWith(unix.ENODEV)}}, refused, "no such device"},
		"no before any call":         {attempt{answered: true, err: enodev}, refused, "no such device"},
		"no and another errno":       {attempt{answered: true, err: enodev, actions: []tracer.Action{failedWith(unix.EPERM)}}, contradicted, "ENODEV"},
		"no and live":                {attempt{answered: true, err: enodev, actions: []tracer.Action{proven()}}, contradicted, "live"},
		"no and never ended":         {attempt{answered: true, err: enodev, actions: []tracer.Action{pending}}, unconfirmed, "ENODEV"},
		"no answer, no event":        {attempt{}, unconfirmed, "stopped waiting"},
		"no answer, at its init":     {attempt{actions: []tracer.Action{pending}}, unconfirmed, "stage init"},
		"no answer: the thread died": {attempt{actions: []tracer.Action{crashed}}, refused, "crashed"},
		"a request is another":       {attempt{answered: true, actions: []tracer.Action{proven(), request}}, confirmed, ""},
		"a request is no proof":      {attempt{answered: true, actions: []tracer.Action{request}}, unconfirmed, "not seen"},
	} {
		t.Run(name, func(t *testing.T) {
			test.attempt.kind = tracer.Load
			got, why := test.attempt.verdict()
			if got != test.want || (why == nil) != (test.says == "") || why != nil && !strings.Contains(why.Error(), test.says) {
				t.Errorf("%s: %v; want %s: %q", got, why, test.want, test.says)
			}
		})
	}
}

// play makes a witness that sees what the test sends. It reads no kernel.
func play(t *testing.T) (*witness, chan tracer.Action) {
	t.Helper()
	seen := make(chan tracer.Action, 16)
	stopped := false
	w := &witness{hand: newHand(), seen: seen, stop: func() {
		if !stopped {
			close(seen)
		}
		stopped = true
	}}
	t.Cleanup(w.close)
	return w, seen
}

func TestAttemptWaitsForEvents(t *testing.T) {
	w, seen := play(t)
	a := w.attempt(t.Context(), tracer.Load, func() error {
		time.AfterFunc(20*time.Millisecond, func() { seen <- proven() })
		return nil
	})
	if v, why := a.verdict(); v != confirmed {
		t.Errorf("%s: %v", v, why)
	}
}

// TestAttemptAsksAgain: an unload that waits is refused some times first.
func TestAttemptAsksAgain(t *testing.T) {
	w, seen := play(t)
	busy := failedWith(unix.EAGAIN)
	busy.Kind = tracer.Unload
	a := w.attempt(t.Context(), tracer.Unload, func() error {
		seen <- busy
		seen <- busy
		seen <- tracer.Action{Kind: tracer.Unload, Outcome: tracer.Unloaded, Seen: []tracer.Kind{tracer.KindFree, tracer.KindLeave}}
		return nil
	})
	if v, why := a.verdict(); v != confirmed || len(a.actions) != 3 {
		t.Errorf("%s: %v, %d actions", v, why, len(a.actions))
	}
}

// TestAttemptInterrupted: the waiting ends, though the kernel does not.
func TestAttemptInterrupted(t *testing.T) {
	w, seen := play(t)
	ctx, cancel := context.WithCancel(t.Context())
	block := make(chan struct{})
	t.Cleanup(func() { close(block) })
	seen <- tracer.Action{Kind: tracer.Load, Stage: tracer.StageInit}
	time.AfterFunc(20*time.Millisecond, cancel)
	a := w.attempt(ctx, tracer.Load, func() error { <-block; return nil })
	if v, why := a.verdict(); v != unconfirmed || !strings.Contains(why.Error(), "stage init") {
		t.Errorf("%s: %v", v, why)
	}
}

// TestAttemptThreadDies: no answer will ever come.
func TestAttemptThreadDies(t *testing.T) {
	w, seen := play(t)
	block := make(chan struct{})
	t.Cleanup(func() { close(block) })
	crashed := failedWith(0)
	crashed.Crashed = true
	seen <- crashed
	a := w.attempt(t.Context(), tracer.Load, func() error { <-block; return nil })
	if v, _ := a.verdict(); v != refused {
		t.Errorf("%s", v)
	}
}

func TestHandKnowsItself(t *testing.T) {
	named := &hand{name: "kmodtrace-ABCDE", pid: 5, tid: 6}
	numbered := &hand{pid: 5, tid: 6}
	for _, test := range []struct {
		hand *hand
		who  tracer.Thread
		want bool
	}{
		{numbered, tracer.Thread{PID: 5, TID: 6, Comm: "kmodtrace"}, true},
		{numbered, tracer.Thread{PID: 5, TID: 7, Comm: "kmodtrace"}, false}, // another thread of ours
		{numbered, tracer.Thread{PID: 9, TID: 6, Comm: "kmodtrace"}, false},
		{named, tracer.Thread{PID: 5005, TID: 5006, Comm: "kmodtrace-ABCDE"}, true},
		{named, tracer.Thread{PID: 5, TID: 6, Comm: "kmodtrace"}, false}, // the same numbers in the first namespace
		{named, tracer.Thread{PID: 5005, TID: 5006, Comm: "kmodtrace-ABCDF"}, false},
	} {
		if got := test.hand.is(test.who); got != test.want {
			t.Errorf("%+v is %+v: %v", test.hand, test.who, got)
		}
	}
}

// TestHandIsOneThread: what it does is done by the thread that it says it is.
func TestHandIsOneThread(t *testing.T) {
	h := newHand()
	defer h.close()
	for range 10 {
		var tid int
		if err := <-h.begin(func() error { tid = unix.Gettid(); return nil }); err != nil {
			t.Fatal(err)
		}
		if uint32(tid) != h.tid {
			t.Fatalf("thread %d, want %d", tid, h.tid)
		}
	}
	if len(h.name) > 15 {
		t.Errorf("the kernel cuts the name %q", h.name)
	}
}

func TestFailuresTakeTheWorstStatus(t *testing.T) {
	var f failures
	f.add(nil)
	if f.err() != nil {
		t.Error("no failure is an error")
	}
	f.add(&exitError{status: exitRefused, err: errors.New("unload a: in use"), hint: "wait"})
	f.add(&exitError{status: exitUnconfirmed, err: errors.New("unload b: not seen")})
	err := f.err()
	if statusOf(err) != exitUnconfirmed || hintOf(err) != "wait" || err.Error() != "unload a: in use\nkmodtrace: unload b: not seen" {
		t.Errorf("status %d, hint %q: %q", statusOf(err), hintOf(err), err)
	}
}
