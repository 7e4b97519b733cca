package service

import (
	"testing"

	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// TestPreliminary: what had not ended is recorded beside its end, and counted until then; what changes
// nothing, by those who may change nothing, is recorded only when it has ended.
func TestPreliminary(t *testing.T) {
	var l lasting
	begun := tracer.Action{ID: 7, Kind: tracer.Load, Module: "a", Preliminary: true, Call: &tracer.Enter{Call: tracer.FinitModule, Capable: true}}
	ended := begun
	ended.Preliminary, ended.Outcome = false, tracer.Live
	minor := *refused(1000, "b")
	minor.Preliminary, minor.Outcome = true, tracer.Pending

	if !l.saw(&begun) || l.count() != 1 {
		t.Errorf("%d under way", l.count())
	}
	if l.saw(&minor) || l.count() != 1 {
		t.Error("a minor one is recorded before its end")
	}
	r := recorder{boot: "0123456789"}
	first, err := r.action(&record.Record{Action: begun})
	if err != nil {
		t.Fatal(err)
	}
	last, err := r.action(&record.Record{Action: ended})
	if err != nil {
		t.Fatal(err)
	}
	if first.Kind != journal.KindPending || first.Outcome != journal.Pending || first.ID != last.ID+journal.PendingSuffix || last.Kind != journal.KindAction {
		t.Errorf("%s %s %s, then %s %s", first.Kind, first.Outcome, first.ID, last.Kind, last.ID)
	}
	if e := entryOf(&first); e.Known == nil || !e.Known.Preliminary || e.Text != "load of a: pending" {
		t.Errorf("outputs get %q, %+v", e.Text, e.Known)
	}
	if !l.saw(&ended) || l.count() != 0 {
		t.Errorf("%d under way", l.count())
	}
}
