package follow

import (
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/tracer"
)

func TestFamily(t *testing.T) {
	process := func(pid uint32, start time.Duration) tracer.Process { return tracer.Process{PID: pid, Start: start} }
	var (
		own     = family{pid: 100, start: 50}
		self    = process(100, 50)
		shell   = process(90, 10)
		first   = process(1, 1)
		command = process(101, 60)
		other   = process(300, 70)
		threads = process(2, 1)
		helper  = process(400, 90)
		thread  = tracer.Thread{PID: 400, Start: 90}
	)
	actor := func(who tracer.Process, ancestors ...tracer.Process) *tracer.Actor {
		return &tracer.Actor{Process: who, Ancestors: ancestors}
	}
	cut := func(a *tracer.Actor) *tracer.Actor { a.AncestorsCut = true; return a }
	by := func(a *tracer.Actor) tracer.Requester { return tracer.Requester{Thread: thread, Actor: a} }
	helped := func(r ...tracer.Requester) tracer.Action {
		a := tracer.Action{Thread: thread, Actor: actor(helper, threads)}
		if len(r) > 0 {
			a.Requester, a.AwaitedBy = &r[0], r[1:]
		}
		return a
	}
	commands := by(actor(command, self))
	nested := by(actor(helper, threads))
	nestedCommand := by(actor(command, self, shell, first))
	nested.Requester = &nestedCommand
	made := func(by *tracer.Actor) *tracer.Actor {
		a := actor(helper, threads)
		a.StartedBy = by
		return a
	}

	for name, test := range map[string]struct {
		action tracer.Action
		want   tie
	}{
		"the command":                  {tracer.Action{Actor: actor(command, self, shell, first)}, related},
		"a thread of the command":      {tracer.Action{Actor: made(actor(command, self, shell, first))}, related},
		"a thread of its thread":       {tracer.Action{Actor: made(made(actor(command, self, shell, first)))}, related},
		"a load for its thread":        {helped(by(made(actor(command, self)))), related},
		"a thread of the shell":        {tracer.Action{Actor: made(actor(shell, first))}, foreign},
		"a thread of kmodtrace itself": {tracer.Action{Actor: made(actor(self, shell, first))}, foreign},
		"a thread, its line cut":       {tracer.Action{Actor: made(cut(actor(other, process(200, 55))))}, unknown},
		"its child":                    {tracer.Action{Actor: actor(process(102, 61), command, self, shell, first)}, related},
		"an orphan of it":              {tracer.Action{Actor: actor(process(102, 61), self, shell, first)}, related},
		"kmodtrace itself":             {tracer.Action{Actor: actor(self, shell, first)}, foreign},
		"the shell":                    {tracer.Action{Actor: actor(shell, first)}, foreign},
		"another":                      {tracer.Action{Actor: actor(other, first)}, foreign},
		"no ancestors":                 {tracer.Action{Actor: actor(first)}, foreign},
		"its number used before":       {tracer.Action{Actor: actor(other, process(100, 20), first)}, foreign},
		"its number used again":        {tracer.Action{Actor: actor(other, process(100, 90), first)}, foreign},
		"of the same time":             {tracer.Action{Actor: actor(other, process(200, 50), first)}, foreign},
		"ancestors cut after it":       {tracer.Action{Actor: cut(actor(other, command, self))}, related},
		"ancestors cut, all younger":   {tracer.Action{Actor: cut(actor(other, process(200, 55)))}, unknown},
		"ancestors cut, one is older":  {tracer.Action{Actor: cut(actor(other, process(200, 49)))}, foreign},
		"itself, ancestors cut":        {tracer.Action{Actor: cut(actor(self, process(99, 51)))}, foreign},
		"actor lost":                   {tracer.Action{Thread: thread}, unknown},
		"actor lost, older process":    {tracer.Action{Thread: tracer.Thread{PID: 90, Start: 10}}, foreign},
		"actor lost, kmodtrace itself": {tracer.Action{Thread: tracer.Thread{PID: 100, Start: 50}}, foreign},
		"begun before":                 {tracer.Action{Thread: thread, Partial: true}, foreign},
		"helper of nobody":             {helped(), foreign},
		"helper of the command":        {helped(by(actor(command, self, shell, first))), related},
		"helper of another":            {helped(by(actor(other, first))), foreign},
		"helper of both":               {helped(by(actor(other, first)), by(actor(command, self))), related},
		"helper of kmodtrace itself":   {helped(by(actor(self, shell))), foreign},
		"helper, requester lost":       {helped(by(nil)), unknown},
		"nested":                       {helped(nested), related},
		"lost, but its requester not":  {tracer.Action{Thread: thread, Requester: &commands}, related},
	} {
		if got := own.tie(&test.action); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
}

func TestHelpers(t *testing.T) {
	var h helpers
	request := tracer.Action{ID: 7, Kind: tracer.Autoload, Outcome: tracer.Answered, Request: &tracer.Request{Wait: true}, End: 5 * time.Second}
	load := tracer.Action{ID: 9, Kind: tracer.Load, Outcome: tracer.Live, Requester: &tracer.Requester{ID: 7}, End: 6 * time.Second}
	see := func(a tracer.Action, want time.Duration) {
		t.Helper()
		h.see(&a)
		if h.until != want {
			t.Errorf("until %v, want %v", h.until, want)
		}
	}
	see(request, 0)
	see(load, 0)
	denied := request
	denied.Outcome, denied.Request = tracer.Failed, &tracer.Request{Denied: true}
	see(denied, 0)
	left := request
	left.Outcome, left.Request = tracer.Pending, &tracer.Request{}
	see(left, 5*time.Second+helperTime)
	see(load, 6*time.Second+helperTime)
	load.Requester.ID = 8
	load.End = 7 * time.Second
	see(load, 6*time.Second+helperTime)
	killed := request
	killed.ID, killed.Outcome, killed.Errno, killed.End = 11, tracer.Failed, tracer.ERESTARTSYS, 8*time.Second
	see(killed, 8*time.Second+helperTime)
}
