package service

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/account"
	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// huge is an attempt of which all is as long as somebody could make it.
func huge(n int) *account.Account {
	text := strings.Repeat("\x01<&>é", n)
	process := tracer.Process{UID: 1000, Comm: text, Exe: &tracer.File{Path: text}, Cgroup: tracer.Cgroup{Path: text, Unit: text, UserUnit: text}}
	who := &tracer.Actor{Process: process, Args: make([]string, 50)}
	for i := range who.Args {
		who.Args[i] = text
	}
	for range 32 {
		who.Ancestors = append(who.Ancestors, process)
	}
	requester := tracer.Requester{Request: tracer.Request{Name: text}, Actor: who}
	requester.Requester = &tracer.Requester{Request: tracer.Request{Name: text}, Actor: who}
	a := tracer.Action{ID: 1, Kind: tracer.Load, Module: text, Outcome: tracer.Failed, Time: time.Unix(0, 0), Actor: who, Requester: &requester,
		Call: &tracer.Enter{Call: tracer.FinitModule, Text: text}, Params: &tracer.Params{Text: text}, Seen: []tracer.Kind{}}
	for range 100 {
		a.Messages = append(a.Messages, text)
		a.MessageTimes = append(a.MessageTimes, time.Second)
	}
	a.AwaitedBy = []tracer.Requester{requester}
	return &account.Account{Explained: cause.Explained{Action: a, Cause: &cause.Cause{Code: cause.Unknown, Text: text, Evidence: []string{text}, Next: text}}}
}

// TestFit: a record has a bounded size, whatever it is about, says what was left out, and is
// what its schema says; what it was made of is not changed.
func TestFit(t *testing.T) {
	for _, n := range []int{0, 1, 10, 30, 100, 300} {
		for _, limit := range []int{maxBody, maxBodyMinor} {
			a := huge(n)
			before, err := encode(a)
			if err != nil {
				t.Fatal(err)
			}
			body, err := fit(a, limit)
			if err != nil || len(body) > limit || len(body) >= journal.MaxMinor && limit == maxBodyMinor {
				t.Errorf("%d: %d bytes, %v", n, len(body), err)
				continue
			}
			after, err := encode(a)
			if err != nil || string(before) != string(after) {
				t.Errorf("%d: the account was changed", n)
			}
			var document map[string]any
			if err := json.Unmarshal(body, &document); err != nil {
				t.Fatal(err)
			}
			if cut := document["left_out"] != nil; cut != (len(before) > limit) {
				t.Errorf("%d: %d bytes of %d, left out: %v", n, len(body), len(before), document["left_out"])
			}
			r := journal.Record{Kind: journal.KindAction, Body: body}
			if n > 0 {
				r.ID, r.Time = "x", time.Unix(0, 0)
				validate(t, "record", r.Document())
			}
		}
	}
}
