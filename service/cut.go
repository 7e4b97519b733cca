package service

import (
	"fmt"
	"slices"

	"github.com/kmodtrace/kmodtrace/account"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// How large the body of a record may be, in bytes. Most have 3,000 to 20,000.
const (
	maxBody      = 128 << 10
	maxBodyMinor = 16 << 10
)

// cutting leaves something of an account out, and says what.
type cutting struct {
	says string
	cut  func(a *account.Account)
}

// cuttings are in the order in which they are tried: what somebody chose and matters least
// first. The last leaves what is bounded by itself.
var cuttings = []cutting{
	{"all but the first 16 arguments, and of each all but 256 bytes", func(a *account.Account) { cutArgs(a, 16, 256) }},
	{"all but the first and last 8 messages, and of each all but 256 bytes", func(a *account.Account) { cutMessages(a, 8, 256) }},
	{"all but the next 8 ancestors of each process", func(a *account.Account) { cutAncestors(a, 8) }},
	{"all but 256 bytes of each path", func(a *account.Account) { cutPaths(a, 256) }},
	{"those who waited too", func(a *account.Account) { a.AwaitedBy = nil }},
	{"all but the next ancestor of each process", func(a *account.Account) { cutAncestors(a, 1) }},
	{"all but the first and last 2 messages", func(a *account.Account) { cutMessages(a, 2, 128) }},
	{"the stages, warnings and arguments", func(a *account.Account) { a.Stages, a.Warnings = nil, nil; cutArgs(a, 1, 64) }},
	{"the evidence", func(a *account.Account) {
		if a.Cause != nil {
			c := *a.Cause
			c.Evidence, c.Inner = []string{}, nil
			a.Cause = &c
		}
	}},
	{"the requesters but the first", func(a *account.Account) { a.Requester = firstOf(a.Requester) }},
	{"all but its identity", func(a *account.Account) {
		t := a.Action
		a.Action = tracer.Action{
			ID: t.ID, Kind: t.Kind, Module: t.Module, NameFrom: t.NameFrom, Outcome: t.Outcome, Errno: t.Errno, ErrnoName: t.ErrnoName,
			Time: t.Time, Start: t.Start, End: t.End, Took: t.Took, Thread: t.Thread, ForRequest: t.ForRequest, Seen: []tracer.Kind{},
			Partial: t.Partial, Lost: t.Lost, EndLost: t.EndLost,
		}
		a.Module, a.Cause, a.Origin, a.Warnings = cutText(a.Module, 256), nil, nil, nil
	}},
}

// fit encodes an account in so many bytes: what is too much is left out, and named.
func fit(whole *account.Account, limit int) ([]byte, error) {
	body, err := encode(whole)
	if err != nil || len(body) <= limit {
		return body, err
	}
	a := *whole // what it points to is others' too
	for _, c := range cuttings {
		c.cut(&a)
		a.LeftOut = append(slices.Clip(a.LeftOut), c.says)
		if body, err = encode(&a); err != nil || len(body) <= limit {
			return body, err
		}
	}
	return nil, fmt.Errorf("encode record of %s: %d bytes, and at most %d are kept", a.Module, len(body), limit)
}

func cutText(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return text[:n] + "…" // encoding makes valid text of it
}

// eachActor replaces each actor of an account by a changed copy.
func eachActor(a *account.Account, change func(*tracer.Actor)) {
	a.Actor = changed(a.Actor, change)
	a.Requester = changedRequester(a.Requester, change)
	a.AwaitedBy = slices.Clone(a.AwaitedBy)
	for i := range a.AwaitedBy {
		a.AwaitedBy[i] = *changedRequester(&a.AwaitedBy[i], change)
	}
}

func changed(who *tracer.Actor, change func(*tracer.Actor)) *tracer.Actor {
	if who == nil {
		return nil
	}
	own := *who
	change(&own)
	return &own
}

func changedRequester(r *tracer.Requester, change func(*tracer.Actor)) *tracer.Requester {
	if r == nil {
		return nil
	}
	own := *r
	own.Actor = changed(r.Actor, change)
	own.Requester = changedRequester(r.Requester, change)
	return &own
}

func firstOf(r *tracer.Requester) *tracer.Requester {
	if r == nil {
		return nil
	}
	own := *r
	own.Requester = nil
	return &own
}

func cutArgs(a *account.Account, most, each int) {
	eachActor(a, func(who *tracer.Actor) {
		args := make([]string, 0, most)
		for i, arg := range who.Args {
			if i == most || len(arg) > each {
				who.ArgsCut = true
			}
			if i == most {
				break
			}
			args = append(args, cutText(arg, each))
		}
		who.Args = args
	})
	if a.Call != nil && len(a.Call.Text) > each {
		call := *a.Call
		call.Text, call.TextCut = cutText(call.Text, each), true
		a.Call = &call
	}
	if a.Params != nil && len(a.Params.Text) > each {
		params := *a.Params
		params.Text, params.Cut = cutText(params.Text, each), true
		a.Params = &params
	}
}

func cutAncestors(a *account.Account, most int) {
	eachActor(a, func(who *tracer.Actor) {
		if len(who.Ancestors) > most {
			who.Ancestors, who.AncestorsCut = who.Ancestors[:most], true
		}
	})
}

// cutMessages keeps the first and last, and their times.
func cutMessages(a *account.Account, most, each int) {
	n := len(a.Messages)
	messages, times := slices.Clone(a.Messages), slices.Clone(a.MessageTimes)
	if n > 2*most {
		messages = slices.Delete(messages, most, n-most)
		if len(times) == n {
			times = slices.Delete(times, most, n-most)
		}
		a.MessagesDropped += n - 2*most
	}
	for i := range messages {
		messages[i] = cutText(messages[i], each)
	}
	a.Messages, a.MessageTimes = messages, times
}

func cutPaths(a *account.Account, most int) {
	cutProcess := func(p *tracer.Process) {
		if p.Exe != nil {
			exe := *p.Exe
			exe.Path = cutText(exe.Path, most)
			p.Exe = &exe
		}
		if len(p.Cgroup.Path) > most {
			p.Cgroup.Path, p.Cgroup.PathCut = "…"+p.Cgroup.Path[len(p.Cgroup.Path)-most:], true
		}
		p.Cgroup.Unit, p.Cgroup.UserUnit = cutText(p.Cgroup.Unit, most), cutText(p.Cgroup.UserUnit, most)
	}
	eachActor(a, func(who *tracer.Actor) {
		cutProcess(&who.Process)
		who.Ancestors = slices.Clone(who.Ancestors)
		for i := range who.Ancestors {
			cutProcess(&who.Ancestors[i])
		}
	})
}
