package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/kmodtrace/kmodtrace/account"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/outfile"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// runReport writes what the kernel did because of a command, and counts it.
type runReport struct {
	json    bool
	out     io.Writer
	file    *os.File      // out, if that has to be closed
	unbegun *outfile.File // that it will be; nil where there is none
	table   *render.ActionTable
	inquiry *account.Inquiry
	err     error // of writing: then no more is written

	shown, untold            uint64
	loaded, unloaded         uint64
	loadFailed, unloadFailed uint64
	requests, requestFailed  uint64
	pending                  uint64
}

// show writes one action, in one go: the command may be writing to the same place.
func (r *runReport) show(ctx context.Context, a *tracer.Action) {
	r.count(a)
	if r.err != nil {
		return
	}
	text, err := r.render(r.inquiry.All(ctx, a))
	if err == nil {
		_, err = io.WriteString(r.out, text)
	}
	if r.err = term.OutputError(err); r.err == nil {
		r.shown++
	}
}

// render has the table's header before the first: without any action there is nothing.
func (r *runReport) render(e account.Account) (string, error) {
	if r.json {
		line, err := term.JSONLine(e)
		return string(line), err
	}
	text := r.table.Render(&e)
	if r.shown == 0 {
		text = r.table.Header() + text
	}
	return text, nil
}

func (r *runReport) count(a *tracer.Action) {
	if a.Kind == tracer.Autoload {
		r.requests++
	}
	failed := map[tracer.ActionKind]*uint64{
		tracer.Load: &r.loadFailed, tracer.Unload: &r.unloadFailed, tracer.Autoload: &r.requestFailed,
	}
	switch a.Outcome {
	case tracer.Live:
		// Else it is another's load, or a module that is counted already.
		if a.SharedWith == 0 {
			r.loaded++
		}
	case tracer.Unloaded:
		r.unloaded++
	case tracer.Failed:
		*failed[a.Kind]++
	case tracer.Pending:
		// A request that nobody waits for has no outcome, and has ended.
		if a.End == 0 {
			r.pending++
		}
	}
}

// summary says in one line what there was.
func (r *runReport) summary() string {
	var parts []string
	add := func(n uint64, what, rest string) {
		if n > 0 {
			parts = append(parts, cells.Plural(n, what)+rest)
		}
	}
	add(r.loaded, "module", " loaded")
	add(r.unloaded, "module", " unloaded")
	add(r.loadFailed, "load", " failed")
	add(r.unloadFailed, "unload", " failed")
	ofThem := ""
	if r.requestFailed > 0 {
		ofThem = fmt.Sprintf(" (%d failed)", r.requestFailed)
	}
	add(r.requests, "request", ofThem)
	if r.pending > 0 {
		parts = append(parts, fmt.Sprintf("%d not ended", r.pending))
	}
	if len(parts) == 0 {
		return "no module activity"
	}
	return strings.Join(parts, ", ")
}

// begin puts the file into its place: until then what was there before is.
func (r *runReport) begin() (err error) {
	if r.unbegun == nil {
		return nil
	}
	if r.file, err = r.unbegun.Begin(); err != nil {
		return fmt.Errorf("output: %w", err)
	}
	return nil
}

// close closes the file, and gives the first error of all writing. Calling it again
// gives that error again.
func (r *runReport) close() error {
	r.unbegun.Abandon()
	if r.file == nil {
		return r.err
	}
	r.err = errors.Join(r.err, term.OutputError(r.file.Close()))
	r.file = nil
	return r.err
}
