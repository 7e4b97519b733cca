package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/ending"
	"github.com/kmodtrace/kmodtrace/internal/filter"
	"github.com/kmodtrace/kmodtrace/internal/memory"
	"github.com/kmodtrace/kmodtrace/internal/outfile"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/tail"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/internal/tracing"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

func newWatchCommand() *cobra.Command {
	opts := new(watchOptions)
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Show what the kernel does with modules, as it happens",
		Long: `Show each attempt to load, unload or request a module when it has ended: what became
of it, how long it took, who made it, and what the kernel and the module printed meanwhile.
An outcome is the kernel's answer to the whole attempt, never a single event on the way.

Watching ends on Ctrl-C, SIGTERM, after --count or after --timeout; what was seen
and lost is then said on standard error. What had ended and waited to be shown is shown
first, unless it is told to end a second time; what had begun and not ended is shown as
pending. Exit status 5 says that something was lost, or not shown, or that somebody
disturbed the hooks.

What a user without CAP_SYS_MODULE is refused is shown 64 times, then four times a second;
the rest is counted, and said once a second on standard error.`,
		Example: `  kmodtrace watch
  kmodtrace watch --json --outcome failed
  kmodtrace watch --module 'snd-*' --action load,unload
  kmodtrace watch --tree --autoloaded yes
  kmodtrace watch --loginuid alice --container any
  kmodtrace watch --events --timeout 10s`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			defer ending.SurviveBrokenPipe()()
			return opts.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&opts.json, "json", false, "print a JSON object a line (docs/schema/action.schema.json, event.schema.json)")
	flags.BoolVar(&opts.tree, "tree", false, "show what was done for a request below it: who asked, the helper, its loads")
	flags.BoolVar(&opts.events, "events", false, "print raw events, as the hooks saw them")
	flags.Uint64Var(&opts.count, "count", 0, "end after `N` were shown; 0 for never")
	flags.DurationVar(&opts.timeout, "timeout", 0, "end after this `TIME`; 0 for never")
	flags.StringVar(&opts.readyFile, "ready-file", "", "make `FILE` when everything is attached")
	opts.filter.Register(cmd)
	tracing.AddBackendFlag(cmd, &opts.backend)
	return cmd
}

type watchOptions struct {
	json, events bool
	tree         bool
	count        uint64
	timeout      time.Duration
	readyFile    string
	filter       filter.Flags
	backend      tracer.Backend
}

func (o *watchOptions) run(ctx context.Context, stdout io.Writer) error {
	wanted, err := o.filter.Parse()
	if err != nil {
		return err
	}
	if o.timeout < 0 {
		return cli.Usagef("--timeout %v: must not be negative", o.timeout)
	}
	if o.events && wanted.OfActions() {
		return cli.Usagef("--events goes with --pid, --uid and --comm: an event alone has no action, no outcome, and often no module")
	}
	if o.tree && (o.json || o.events) {
		return cli.Usagef("--tree goes without --json and --events: JSON has the requester with each load")
	}
	if err := removeStale(o.readyFile); err != nil {
		return err
	}
	memory.Frugal()
	start := time.Now()
	t, giveBack, err := tracing.Borrow(ctx, o.backend)
	if err != nil {
		return err
	}
	defer giveBack()
	if o.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.timeout)
		defer cancel()
	}
	log := zerolog.Ctx(ctx)
	render.SayReady(log, t.Coverage(), time.Since(start))
	w := &watcher{watchOptions: o, wanted: wanted, out: batch{out: stdout}}
	if err := w.begin(); err != nil {
		return err
	}
	if err := writeReady(o.readyFile); err != nil {
		return err
	}
	attention := render.Attend(t, log)
	defer attention.End()
	err = w.watch(ctx, t)
	attention.End()
	return w.end(t, errors.Join(err, giveBack()), log)
}

// writeReady says that everything that begins from now on will be seen.
func writeReady(name string) error {
	if name == "" {
		return nil
	}
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() && !info.IsDir() { // a pipe is waited for
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteString("ready\n")
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			return fmt.Errorf("ready file: %w", err)
		}
		return nil
	}
	file, err := outfile.Create(name)
	if err == nil {
		err = file.Commit([]byte("ready\n"))
	}
	if err != nil {
		return fmt.Errorf("ready file: %w", err)
	}
	return nil
}

// removeStale takes away the ready file of an earlier run. Anything but a plain
// file (a pipe, /dev/null) is only ever written to.
func removeStale(name string) error {
	info, err := os.Lstat(name)
	if name == "" || err != nil || !info.Mode().IsRegular() {
		return nil
	}
	if err := os.Remove(name); err != nil {
		return fmt.Errorf("ready file: %w", err)
	}
	return nil
}

// watcher prints what comes.
type watcher struct {
	*watchOptions
	wanted  *filter.Filter
	out     batch
	actions *render.ActionTable
	raw     *render.EventTable
	forest  render.Forest
	tally   render.Tally
	skipped int // actions that were not looked at any more
}

// begin writes the header, and so finds out early when nothing can be written.
func (w *watcher) begin() error {
	theme, width := term.ThemeOf(w.out.out), term.Columns(w.out.out)
	w.actions, w.raw = render.NewActionTable(theme, width), &render.EventTable{Theme: theme, Width: width}
	switch {
	case w.json:
		return nil
	case w.events:
		w.out.add(w.raw.Header())
	default:
		w.out.add(w.actions.Header())
	}
	return w.out.flush()
}

func (w *watcher) watch(ctx context.Context, t *tracer.Tracer) error {
	if w.events {
		return w.watchEvents(ctx, t)
	}
	k, err := tracing.Kernel(ctx)
	if err != nil {
		return err
	}
	q := record.NewPatientInquiry(k, !w.json)
	actions := tail.New(ctx, t.Actions)
	defer actions.Skip()
	// What ends the watching does not end the looking for reasons.
	ctx, stop := ending.Hurry(ctx)
	defer stop()
	for a := range actions.Items {
		if ctx.Err() != nil {
			w.skipped = 1 + actions.Skip()
			break
		}
		w.tally.Action(a)
		if err := w.take(ctx, q, a); err != nil {
			return err
		}
		if w.enough() {
			return w.out.flush()
		}
		if err := w.out.pass(len(actions.Items) > 0); err != nil {
			return err
		}
	}
	return errors.Join(actions.Err, w.showTrees(w.forest.Rest()), w.out.flush())
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
	if w.tree {
		return w.showTrees(w.forest.Add(e))
	}
	return w.show(e, func() string { return w.actions.Render(&e) })
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
			return w.out.flush()
		}
		if err := w.out.pass(len(events.Items) > 0); err != nil {
			return err
		}
	}
	return errors.Join(events.Err, w.out.flush())
}

// show has one record written with the next pass, as JSON or as text.
func (w *watcher) show(record any, text func() string) error {
	w.tally.Shown++
	if !w.json {
		w.out.add(text())
		return nil
	}
	line, err := term.JSONLine(record)
	if err != nil {
		return err
	}
	w.out.add(string(line))
	return nil
}

func (w *watcher) enough() bool { return w.count > 0 && w.tally.Shown >= w.count }

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
	said := fmt.Errorf("%s; %s", w.tally.Text(w.events), render.LossText(loss))
	if n := render.FoldedTotal(folded); n > 0 {
		said = fmt.Errorf("%w; counted %s of callers who may not load modules", said, cells.Plural(n, "more refusal"))
	}
	if len(disturbances) > 0 {
		said = fmt.Errorf("%w; hooks were disturbed: %s", said, render.DisturbancesText(disturbances))
	}
	if w.skipped > 0 {
		said = fmt.Errorf("%w; %d more were not looked at: told twice to end", said, w.skipped)
	}
	if loss.Any() || w.skipped > 0 || len(disturbances) > 0 {
		return &exitError{status: exitLost, err: said, hint: "what was shown may be incomplete"}
	}
	log.Info().Uint64("shown", w.tally.Shown).Msg(said.Error())
	return nil
}
