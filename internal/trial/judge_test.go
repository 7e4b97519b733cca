package trial

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

func attempt(round int, step Step, verdict proof.Verdict, change func(*record.Record)) Event {
	kind, outcome := tracer.Load, tracer.Live
	if step == StepUnload {
		kind, outcome = tracer.Unload, tracer.Unloaded
	}
	var a record.Record
	a.Kind, a.Module, a.Outcome, a.Took = kind, "x", outcome, time.Duration(round)*time.Millisecond
	if change != nil {
		change(&a)
	}
	of := &proof.Result{Command: string(step), Verdict: verdict, Actions: []record.Record{a}}
	if a.Errno != 0 {
		of.ErrnoName = tracer.ErrnoName(a.Errno)
	}
	return Event{Round: round, Step: step, Target: "x.ko", Result: of}
}

func left(round int, l Leftovers) Event { return Event{Round: round, Step: StepLook, Left: &l} }

func failed(a *record.Record) { a.Outcome, a.Errno = tracer.Failed, unix.ENOMEM }

// Verdicts of what a guest told: the worst that happened is the trial's.
func TestJudge(t *testing.T) {
	ready := Event{Step: StepPrepare, Ready: &ReadyGuest{Release: "6.12", Tracks: true}}
	done := Event{Step: StepDone}
	round := func(n int, l Leftovers) []Event {
		return []Event{attempt(n, StepLoad, proof.Confirmed, nil), attempt(n, StepUnload, proof.Confirmed, nil), left(n, l)}
	}
	all := func(events ...[]Event) []Event {
		told := []Event{ready}
		for _, e := range events {
			told = append(told, e...)
		}
		return append(told, done)
	}
	one := func(e ...Event) []Event { return e }
	clean, proc := Leftovers{Taints: 1<<12 | 1<<13}, Leftovers{Entries: []string{"/proc/x"}}
	slab := Leftovers{Memory: []Allocation{{Pool: "kmalloc-64", Count: 1, Bytes: 64, Module: "x"}}}
	at := func(round int, step Step) Console {
		return Console{Last: Event{Round: round, Step: step, Target: "/trial/1/x.ko"}}
	}
	fault := func(kind FaultKind, text string) Console {
		return Console{Faults: []Fault{{Kind: kind, Round: 1, Step: StepLoad, Text: text}}, Last: Event{Step: StepDone}}
	}
	for name, c := range map[string]struct {
		events  []Event
		console Console
		ended   Ended
		want    Verdict
		why     string
	}{
		"passed":      {all(round(1, clean), round(2, clean)), Console{}, Ended{}, Passed, ""},
		"entry":       {all(round(1, proc), round(2, proc)), Console{}, Ended{}, Leaking, "/proc/x was left"},
		"memory":      {all(round(1, slab)), Console{}, Ended{}, Leaking, "x did not give back memory"},
		"refused":     {all(one(attempt(1, StepLoad, proof.Refused, failed), left(1, clean))), Console{}, Ended{}, NotLive, "x was not loaded in round 1"},
		"left it":     {all(round(1, proc), one(attempt(2, StepLoad, proof.Refused, failed), left(2, proc))), Console{}, Ended{}, Leaking, "/proc/x was left, and then x was not loaded in round 2"},
		"stuck":       {all(one(attempt(1, StepLoad, proof.Confirmed, nil), attempt(1, StepUnload, proof.Refused, failed))), Console{}, Ended{}, Stuck, "could not be unloaded"},
		"hung":        {all(one(attempt(1, StepLoad, "unconfirmed", func(a *record.Record) { a.Outcome, a.Stage = tracer.Pending, tracer.StageInit }))), Console{}, Ended{}, HungUp, "stage init"},
		"crashed":     {all(one(attempt(1, StepLoad, proof.Refused, func(a *record.Record) { a.Crashed = true }))), Console{}, Ended{}, Crashed, "the load of x crashed"},
		"oops":        {all(round(1, clean)), fault(Oops, "Oops: 0"), Ended{}, Crashed, "Oops: 0, at the load of round 1"},
		"warning":     {all(round(1, clean)), fault(Warning, "WARNING: x"), Ended{}, Warned, "WARNING: x"},
		"tainted":     {all(round(1, Leftovers{Taints: 1 << 9})), Console{}, Ended{}, Warned, "tainted: warned"},
		"panicked":    {one(ready), at(1, StepLoad), Ended{Panic: "Fatal exception"}, Panicked, "Fatal exception, at the load of x.ko in round 1"},
		"silent":      {one(ready), at(3, StepUnload), Ended{Silent: true}, HungUp, "at the unload of x.ko in round 3"},
		"command":     {all(one(attempt(1, StepLoad, proof.Confirmed, nil), Event{Round: 1, Step: StepCommand, Command: &Command{Status: 7}}, attempt(1, StepUnload, proof.Confirmed, nil), left(1, clean))), Console{}, Ended{}, Failing, "exit status 7"},
		"no memory":   {all(round(1, clean)), fault(Memory, "Out of memory: Killed process 9 (x)"), Ended{}, Starved, "Out of memory: Killed process 9 (x), at the load of round 1"},
		"killed":      {one(ready), at(1, StepLoad), Ended{Broken: "what carries out the plan ended by itself, with status 137"}, HungUp, "status 137, at the load of x.ko in round 1"},
		"the machine": {all(round(1, clean)), Console{Faults: []Fault{{Kind: Warning, Step: StepPrepare, Text: "WARNING: boot"}}}, Ended{}, Passed, ""},
	} {
		p := Plan{Files: []string{"x.ko"}, Times: 1, Patience: time.Second}
		for _, e := range c.events {
			p.Times = max(p.Times, e.Round)
			if e.Command != nil {
				p.Command = []string{"false"}
			}
		}
		r := Judge(p, c.events, c.console, c.ended)
		if r.Verdict != c.want || !strings.Contains(r.Why, c.why) || (r.Why == "") != (c.want == Passed) {
			t.Errorf("%s: %s, %q; want %s, %q", name, r.Verdict, r.Why, c.want, c.why)
		}
		if len(r.Modules) != 1 || r.Modules[0].Module != "x" {
			t.Errorf("%s: modules %+v", name, r.Modules)
		}
	}
}

func TestSpread(t *testing.T) {
	if got := spreadOf([]time.Duration{3, 1, 2}); got != (Spread{3, 1, 2, 3}) {
		t.Error(got)
	}
	if got := spreadOf(nil); got != (Spread{}) {
		t.Error(got)
	}
}
