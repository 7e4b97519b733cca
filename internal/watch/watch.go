// Package watch prints what the kernel does with modules as it happens.
package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/ending"
	"github.com/kmodtrace/kmodtrace/internal/filter"
	"github.com/kmodtrace/kmodtrace/internal/memory"
	"github.com/kmodtrace/kmodtrace/internal/outfile"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/rules"
	"github.com/kmodtrace/kmodtrace/internal/tail"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/internal/tracing"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/rule"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/rs/zerolog"
)

// Options say what is shown, and until when.
type Options struct {
	JSON, Events bool   // objects; events instead of actions
	Tree         bool   // what was done for a request below it
	Count        uint64 // how many are shown; 0 for all
	Timeout      time.Duration
	PendingAfter time.Duration // how long an action lasts before it is shown as pending; 0 for never
	ReadyFile    string        // made when everything is attached; see [outfile.WriteReady]
	Filter       filter.Flags
	Backend      tracer.Backend
	// Findings shows what rules find, instead of the actions; Rules are more paths of rules: see
	// package rules.
	Findings bool
	Rules    []string
}

// Run shows what the kernel does until ctx is done, and says what was seen and lost.
func (o *Options) Run(ctx context.Context, stdout io.Writer) error {
	wanted, err := o.Filter.Parse()
	if err != nil {
		return err
	}
	if o.Timeout < 0 {
		return cli.Usagef("--timeout %v: must not be negative", o.Timeout)
	}
	if o.PendingAfter < 0 {
		return cli.Usagef("--pending-after %v: must not be negative", o.PendingAfter)
	}
	if o.Events && wanted.OfActions() {
		return cli.Usagef("--events can be filtered only by --pid, --uid and --comm: an event has no outcome, and often no module")
	}
	if o.Tree && (o.JSON || o.Events) {
		return cli.Usagef("--tree cannot be combined with --json or --events: JSON has the requester of each load")
	}
	if o.Findings && (o.Events || o.Tree) {
		return cli.Usagef("--findings cannot be combined with --events or --tree")
	}
	if len(o.Rules) > 0 && !o.Findings {
		return cli.Usagef("--rules needs --findings")
	}
	var set *rule.Set
	if o.Findings {
		if set, err = rules.Load(o.Rules); err != nil {
			return err
		}
	}
	if err := outfile.RemoveStale(o.ReadyFile); err != nil {
		return err
	}
	memory.Frugal()
	start := time.Now()
	t, giveBack, err := tracing.Borrow(ctx, o.Backend)
	if err != nil {
		return err
	}
	defer giveBack()
	if o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Timeout)
		defer cancel()
	}
	ctx, stop := ending.WhileRead(ctx, stdout)
	defer stop()
	log := zerolog.Ctx(ctx)
	render.SayReady(log, t.Coverage(), time.Since(start))
	w := &watcher{Options: o, wanted: wanted, out: term.Batch{Out: stdout}, log: log}
	if set != nil {
		w.findings = set.Begin()
	}
	if err := w.begin(); err != nil {
		return err
	}
	if err := outfile.WriteReady(o.ReadyFile); err != nil {
		return err
	}
	attention := render.Attend(t, log)
	defer attention.End()
	err = w.watch(ctx, t)
	attention.End()
	if err == nil {
		err = ending.ReaderGone(ctx)
	}
	return w.end(t, errors.Join(err, giveBack()), log)
}

// watcher prints what comes.
type watcher struct {
	*Options
	wanted  *filter.Filter
	out     term.Batch
	actions *render.ActionTable
	raw     *render.EventTable
	forest  render.Forest
	tally   render.Tally
	skipped int // actions that were not looked at any more

	findings *rule.Findings // nil where actions are shown, and no findings
	text     *render.ResultText
	log      *zerolog.Logger
}

// begin writes the header, and so finds out early when nothing can be written.
func (w *watcher) begin() error {
	theme, width := term.ThemeOf(w.out.Out), term.Columns(w.out.Out)
	w.actions, w.raw = render.NewActionTable(theme, width), &render.EventTable{Theme: theme, Width: width}
	w.text = render.NewResultText(theme, width)
	switch {
	case w.JSON:
		return nil
	case w.findings != nil: // each has its words
	case w.Events:
		w.out.Add(w.raw.Header())
	default:
		w.out.Add(w.actions.Header())
	}
	return w.out.Flush()
}

func (w *watcher) watch(ctx context.Context, t *tracer.Tracer) error {
	if w.Events {
		return w.watchEvents(ctx, t)
	}
	k, err := tracing.Kernel(ctx)
	if err != nil {
		return err
	}
	q := record.NewPatientInquiry(k, !w.JSON && w.findings == nil)
	actions := tail.New(ctx, func(ctx context.Context) iter.Seq2[tracer.Action, error] {
		return t.ActionsPending(ctx, w.PendingAfter)
	})
	defer actions.Skip()
	// What ends the watching does not end the looking for reasons.
	ctx, stop := ending.Hurry(ctx)
	defer stop()
	for a := range actions.Items {
		if ctx.Err() != nil {
			w.skipped = 1 + actions.Skip()
			break
		}
		if !a.Preliminary {
			w.tally.Action(a)
		}
		if err := w.take(ctx, q, a); err != nil {
			return err
		}
		if w.enough() {
			return w.out.Flush()
		}
		if err := w.out.Pass(len(actions.Items) > 0); err != nil {
			return err
		}
	}
	return errors.Join(actions.Err, w.showTrees(w.forest.Rest()), w.out.Flush())
}

// take shows an action, if it is wanted.
func (w *watcher) take(ctx context.Context, q *record.Inquiry, a *tracer.Action) error {
	if !w.wanted.Action(a) {
		return nil
	}
	e := q.Cause(ctx, a)
	if !w.wanted.Cause(e.Cause) {
		return nil
	}
	e.Origin = q.Origin(ctx, a)
	if w.findings != nil {
		return w.judge(&e)
	}
	if a.Preliminary { // it is shown again, and counted then
		return w.add(e, func() string { return w.actions.Render(&e) })
	}
	if w.Tree {
		return w.showTrees(w.forest.Add(e))
	}
	return w.show(e, func() string { return w.actions.Render(&e) })
}

// judge shows what the rules find in a record.
func (w *watcher) judge(e *record.Record) error {
	found, stopped := w.findings.Add(e)
	if stopped != nil {
		w.log.Warn().Msg(stopped.Error())
	}
	for i := range found {
		if err := w.show(&found[i], func() string { return w.text.Finding(&found[i]) }); err != nil {
			return err
		}
	}
	return nil
}

func (w *watcher) showTrees(trees []*render.Tree) error {
	for _, t := range trees {
		if err := w.show(t, func() string { return w.actions.RenderTree(t) }); err != nil {
			return err
		}
	}
	return nil
}

func (w *watcher) watchEvents(ctx context.Context, t *tracer.Tracer) error {
	events := tail.New(ctx, t.Events)
	defer events.Skip()
	for e := range events.Items {
		w.tally.Events++
		if w.wanted.Thread(e.Thread) {
			if err := w.show(e, func() string { return w.raw.Render(e) }); err != nil {
				return err
			}
		}
		if w.enough() {
			return w.out.Flush()
		}
		if err := w.out.Pass(len(events.Items) > 0); err != nil {
			return err
		}
	}
	return errors.Join(events.Err, w.out.Flush())
}

// show has one record written with the next pass, as JSON or as text.
func (w *watcher) show(record any, text func() string) error {
	w.tally.Shown++
	return w.add(record, text)
}

// add is show of what does not count.
func (w *watcher) add(record any, text func() string) error {
	if w.JSON {
		return w.out.AddJSON(record)
	}
	w.out.Add(text())
	return nil
}

func (w *watcher) enough() bool { return w.Count > 0 && w.tally.Shown >= w.Count }

// end says what was seen and lost.
func (w *watcher) end(t *tracer.Tracer, watchErr error, log *zerolog.Logger) error {
	if watchErr != nil {
		return watchErr
	}
	loss, err := t.Loss()
	if err != nil {
		return err
	}
	folded, err := t.Folded()
	if err != nil {
		return err
	}
	disturbances := t.Disturbances()
	said := fmt.Errorf("%s; %s", w.tally.Text(w.Events), render.LossText(loss))
	if n := render.FoldedTotal(folded); n > 0 {
		said = fmt.Errorf("%w; counted %s of callers that may not load modules", said, cells.Plural(n, "more refusal"))
	}
	if len(disturbances) > 0 {
		said = fmt.Errorf("%w; hooks were disturbed: %s", said, render.DisturbancesText(disturbances))
	}
	if w.skipped > 0 {
		said = fmt.Errorf("%w; %d more were skipped after a second interrupt", said, w.skipped)
	}
	if loss.Any() || w.skipped > 0 || len(disturbances) > 0 {
		return cli.WithHint(&cli.IncompleteError{Text: said.Error()}, "what was shown may be incomplete")
	}
	log.Info().Uint64("shown", w.tally.Shown).Msg(said.Error())
	return nil
}
