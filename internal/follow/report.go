package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/outfile"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// Report writes what the kernel did because of a command, and counts it.
type Report struct {
	JSON    bool
	Out     io.Writer
	File    *os.File      // out, if that has to be closed
	Unbegun *outfile.File // that it will be; nil where there is none
	Table   *render.ActionTable
	Inquiry *record.Inquiry
	kernel  *kernel.Kernel
	err     error // of writing: then no more is written

	Shown, Unattributed      uint64
	Loaded, unloaded         uint64
	loadFailed, unloadFailed uint64
	requests, requestFailed  uint64
	pending                  uint64
	refused                  uint64 // by tools themselves
}

// Show writes one action, in one go: the command may be writing to the same place.
func (r *Report) Show(ctx context.Context, a *tracer.Action) {
	r.Count(a)
	if r.err != nil {
		return
	}
	text, err := r.render(r.Inquiry.All(ctx, a))
	if err == nil {
		_, err = io.WriteString(r.Out, text)
	}
	if r.err = term.OutputError(err); r.err == nil {
		r.Shown++
	}
}

// render has the table's header before the first: without any action there is nothing.
func (r *Report) render(e record.Record) (string, error) {
	if r.JSON {
		line, err := term.JSONLine(e)
		return string(line), err
	}
	text := r.Table.Render(&e)
	if r.Shown == 0 {
		text = r.Table.Header() + text
	}
	return text, nil
}

// Count counts an action that is shown, when it has ended.
func (r *Report) Count(a *tracer.Action) {
	if a.Preliminary {
		return
	}
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
			r.Loaded++
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

// Summary says in one line what there was.
func (r *Report) Summary() string {
	var parts []string
	add := func(n uint64, what, rest string) {
		if n > 0 {
			parts = append(parts, cells.Plural(n, what)+rest)
		}
	}
	add(r.Loaded, "module", " loaded")
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
		parts = append(parts, "no module activity")
	}
	add(r.refused, "refusal", " by the tool itself")
	return strings.Join(parts, ", ")
}

// Begin puts the file into its place: until then what was there before is.
func (r *Report) Begin() (err error) {
	if r.Unbegun == nil {
		return nil
	}
	if r.File, err = r.Unbegun.Begin(); err != nil {
		return fmt.Errorf("output: %w", err)
	}
	return nil
}

// Close closes the file, and gives the first error of all writing. Calling it again
// gives that error again.
func (r *Report) Close() error {
	r.Unbegun.Abandon()
	if r.File == nil {
		return r.err
	}
	r.err = errors.Join(r.err, term.OutputError(r.File.Close()))
	r.File = nil
	return r.err
}
