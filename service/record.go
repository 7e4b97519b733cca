package service

import (
	"fmt"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/jsonline"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// note is the body of a record that is not an action.
type note struct {
	Text string `json:"text"`
	// Module is of what an inventory found.
	Module *kmod.Module `json:"module,omitempty"`
	// Loss is all that was lost since the watching began.
	Loss *tracer.Loss `json:"loss,omitempty"`
	// Folded is what a fold stands for.
	Folded *Folded `json:"folded,omitempty"`
}

// recorder makes records of one run of the kernel.
type recorder struct{ boot string }

// id names what began at a time since boot in a thread; nothing else did.
func (r recorder) id(began tracer.ID, thread uint32) string {
	return fmt.Sprintf("%.8s-%d-%d", r.boot, began, thread)
}

// action makes the record of an action. The journal shortens what is too long in it.
func (r recorder) action(a *record.Record) (journal.Record, error) {
	body, err := jsonline.Marshal(a)
	if err != nil {
		return journal.Record{}, err
	}
	rec := journal.Record{
		ID: r.id(a.ID, a.Thread.TID), Time: a.Time, Boot: r.boot, Kind: journal.KindAction,
		Module: column(a.Module), Action: a.Kind.String(), Outcome: a.Outcome.String(), Body: body,
	}
	if a.Preliminary { // its end has the ID to itself
		rec.Kind, rec.ID = journal.KindPending, rec.ID+journal.PendingSuffix
	}
	if rec.Time.IsZero() {
		rec.Time = time.Now()
	}
	if a.Cause != nil {
		rec.Cause = string(a.Cause.Code)
	}
	if a.File != nil {
		rec.File = column(a.File.Path)
	}
	rec.Content = string(a.Content())
	who, thread := record.Responsible(&a.Action)
	if thread != nil && thread.PID != 0 {
		uid := thread.UID
		rec.UID = &uid
	}
	if who != nil {
		uid := who.UID
		rec.UID, rec.User = &uid, record.User(&who.Process)
		if c := who.Cgroup.Container; c != nil {
			rec.Container = column(c.ID)
		}
	}
	return rec, nil
}

// note makes the record of something that is not an action. There is one of a kind at a
// time.
func (r recorder) note(kind journal.Kind, at time.Time, count int64, n note) (journal.Record, error) {
	body, err := jsonline.Marshal(n)
	if err != nil {
		return journal.Record{}, err
	}
	return journal.Record{
		ID: fmt.Sprintf("%.8s-%d-%s", r.boot, tracer.SinceBoot(), kind), Time: at, Boot: r.boot,
		Kind: kind, Count: count, Body: body,
	}, nil
}

// column cuts what is kept beside the body, to be asked for.
func column(text string) string { return cutText(text, maxColumn) }

func cutText(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return text[:n] + "…" // encoding makes valid text of it
}

// maxColumn is more than a path may have.
const maxColumn = 4096

// fold makes the record of a fold.
func (r recorder) fold(d *fold) (journal.Record, error) {
	body, err := jsonline.Marshal(note{Text: d.text(), Folded: &d.Folded})
	if err != nil {
		return journal.Record{}, err
	}
	return journal.Record{
		ID: fmt.Sprintf("%.8s-%d-%s-%s-%s", r.boot, tracer.SinceBoot(), journal.KindFolded, d.Action, d.whose()), Time: d.Last, Boot: r.boot,
		Kind: journal.KindFolded, Class: journal.ClassMinor, Action: d.Action, UID: d.UID, User: column(d.User), Count: d.Count, Body: body,
	}, nil
}

// module makes the record of a module that appeared or vanished.
func (r recorder) module(kind journal.Kind, m *kmod.Module, at time.Time, text string) (journal.Record, error) {
	n := note{Text: text}
	if kind == journal.KindAppeared {
		n.Module = m
	}
	body, err := jsonline.Marshal(n)
	if err != nil {
		return journal.Record{}, err
	}
	return journal.Record{
		ID: fmt.Sprintf("%.8s-%d-%s-%s", r.boot, tracer.SinceBoot(), kind, m.Name), Time: at, Boot: r.boot,
		Kind: kind, Module: m.Name, Body: body,
	}, nil
}

// present makes the record of a module that an inventory found.
func (r recorder) present(m *kmod.Module, at time.Time) (journal.Record, error) {
	body, err := jsonline.Marshal(note{Text: "is loaded", Module: m})
	if err != nil {
		return journal.Record{}, err
	}
	return journal.Record{
		ID: fmt.Sprintf("%.8s-%d-present-%s", r.boot, tracer.SinceBoot(), m.Name), Time: at, Boot: r.boot,
		Module: m.Name, Body: body,
	}, nil
}
