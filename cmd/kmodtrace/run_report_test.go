package main

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/account"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/sample"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/tracer"
)

func TestRunSummary(t *testing.T) {
	var r runReport
	if got := r.summary(); got != "no module activity" {
		t.Errorf("%q", got)
	}
	for _, a := range []tracer.Action{
		{Kind: tracer.Load, Outcome: tracer.Live},
		{Kind: tracer.Load, Outcome: tracer.Live},
		{Kind: tracer.Load, Outcome: tracer.Live, SharedWith: 1},
		{Kind: tracer.Load, Outcome: tracer.Failed},
		{Kind: tracer.Unload, Outcome: tracer.Unloaded},
		{Kind: tracer.Unload, Outcome: tracer.Failed},
		{Kind: tracer.Autoload, Outcome: tracer.Answered},
		{Kind: tracer.Autoload, Outcome: tracer.Failed},
		{Kind: tracer.Autoload, Outcome: tracer.Pending, End: time.Second},
		{Kind: tracer.Load, Outcome: tracer.Pending},
	} {
		r.count(&a)
	}
	const want = "2 modules loaded, 1 module unloaded, 1 load failed, 1 unload failed, 3 requests (1 failed), 1 not ended"
	if got := r.summary(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// failingWriter counts how often it is tried.
type failingWriter struct{ tries int }

func (w *failingWriter) Write([]byte) (int, error) {
	w.tries++
	return 0, io.ErrShortWrite
}

func TestRunReport(t *testing.T) {
	k, err := kernel.Open(nil)
	if err != nil {
		t.Skip(err)
	}
	a := sample.Loaded().Action
	a.Seen = []tracer.Kind{tracer.KindLeave}
	var out strings.Builder
	r := &runReport{out: &out, table: render.NewActionTable(term.Theme{}, 80), inquiry: account.NewInquiry(k, false)}
	r.show(t.Context(), &a)
	r.show(t.Context(), &a)
	if text := out.String(); strings.Count(text, "TIME") != 1 || strings.Count(text, " live ") != 2 || !strings.HasPrefix(text, "TIME") {
		t.Errorf("%q", text)
	}
	out.Reset()
	r.json = true
	r.show(t.Context(), &a)
	if err := validateText("action", []byte(out.String())); err != nil {
		t.Error(err)
	}
	if r.shown != 3 || r.close() != nil {
		t.Errorf("%+v", r)
	}
	failing := new(failingWriter)
	r = &runReport{out: failing, table: r.table, inquiry: r.inquiry}
	r.show(t.Context(), &a)
	r.show(t.Context(), &a)
	if failing.tries != 1 || r.shown != 0 || r.loaded != 2 || !errors.Is(r.close(), io.ErrShortWrite) {
		t.Errorf("%d tries, %+v", failing.tries, r)
	}
}
