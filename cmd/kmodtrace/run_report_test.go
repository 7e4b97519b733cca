package main

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/follow"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/sample"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

func TestRunSummary(t *testing.T) {
	var r follow.Report
	if got := r.Summary(); got != "no module activity" {
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
		r.Count(&a)
	}
	const want = "2 modules loaded, 1 module unloaded, 1 load failed, 1 unload failed, 3 requests (1 failed), 1 not ended"
	if got := r.Summary(); got != want {
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
	r := &follow.Report{Out: &out, Table: render.NewActionTable(term.Theme{}, 80), Inquiry: record.NewInquiry(k, false)}
	r.Show(t.Context(), &a)
	r.Show(t.Context(), &a)
	if text := out.String(); strings.Count(text, "TIME") != 1 || strings.Count(text, " live ") != 2 || !strings.HasPrefix(text, "TIME") {
		t.Errorf("%q", text)
	}
	out.Reset()
	r.JSON = true
	r.Show(t.Context(), &a)
	if err := validateText("action", []byte(out.String())); err != nil {
		t.Error(err)
	}
	if r.Shown != 3 || r.Close() != nil {
		t.Errorf("%+v", r)
	}
	failing := new(failingWriter)
	r = &follow.Report{Out: failing, Table: r.Table, Inquiry: r.Inquiry}
	r.Show(t.Context(), &a)
	r.Show(t.Context(), &a)
	if failing.tries != 1 || r.Shown != 0 || r.Loaded != 2 || !errors.Is(r.Close(), io.ErrShortWrite) {
		t.Errorf("%d tries, %+v", failing.tries, r)
	}
}
