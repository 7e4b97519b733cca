package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/act"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/ending"
	"github.com/kmodtrace/kmodtrace/internal/outfile"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/internal/tracing"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

func newRefsCommand() *cobra.Command {
	opts := new(refsOptions)
	cmd := &cobra.Command{
		Use:   "refs NAME",
		Short: "Show who takes and drops references to a module",
		Long: `Watch who takes and drops references to one loaded module, and show the balance of each
process at each place in the kernel: a module with references cannot be unloaded.
References that were taken before are in the module's count, and nobody can say whose.

Watching ends on Ctrl-C, SIGTERM, after --timeout, or when the module is unloaded. Meanwhile,
and only then, the kernel's tracepoints module_get and module_put are in use, which fire on
paths of other work too. Exit status 5 says that there were more than could be kept.`,
		Example: "  kmodtrace refs loop\n  kmodtrace refs tun --interval 2s\n  kmodtrace refs xfs --timeout 10s --json",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return cli.Usagef("refs takes the NAME of one module, and got %d", len(args))
			}
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return act.LoadedNames(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			defer ending.SurviveBrokenPipe()()
			return opts.run(cmd.Context(), cmd.OutOrStdout(), args[0])
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&opts.json, "json", false, "print a JSON object a line, one for each time that it is shown (docs/schema/refs.schema.json)")
	flags.DurationVar(&opts.timeout, "timeout", 0, "end after this `TIME`; 0 for never")
	flags.DurationVar(&opts.interval, "interval", 0, "also show it each time that this `TIME` has passed; 0 for only at the end")
	flags.StringVar(&opts.readyFile, "ready-file", "", "make `FILE` when everything is attached")
	return cmd
}

type refsOptions struct {
	json              bool
	timeout, interval time.Duration
	readyFile         string
}

func (o *refsOptions) check() error {
	for name, d := range map[string]time.Duration{"timeout": o.timeout, "interval": o.interval} {
		if d < 0 {
			return cli.Usagef("--%s %v: must not be negative", name, d)
		}
	}
	return nil
}

func (o *refsOptions) run(ctx context.Context, stdout io.Writer, name string) error {
	if err := o.check(); err != nil {
		return err
	}
	module, err := refsModule(name)
	if err != nil {
		return err
	}
	if err := outfile.RemoveStale(o.readyFile); err != nil {
		return err
	}
	refs, err := tracer.OpenRefs(module)
	if err != nil {
		return refsError(module, err)
	}
	defer refs.Close()
	count, err := tracer.RefCount(module)
	if err != nil {
		return refsError(module, err)
	}
	zerolog.Ctx(ctx).Info().Str("module", module).Int("refcount", count).
		Msgf("ready: watching %s, which has %s now", module, render.References(count))
	w := &refsWatcher{refsOptions: o, refs: refs, out: stdout, record: render.Refs{Module: module, Time: time.Now(), CountBefore: count}}
	if err := outfile.WriteReady(o.readyFile); err != nil {
		return err
	}
	return w.watch(ctx)
}

// refsModule checks a name before anything is attached.
func refsModule(name string) (string, error) {
	module, err := kmod.NormalName(name)
	if err == nil && kmod.IsFile(name) {
		err = fmt.Errorf("%w: it is a file's", kmod.ErrBadName)
	}
	if err != nil {
		return "", act.TargetError(&kmod.Error{Op: "refs", Module: name, Err: err})
	}
	return module, nil
}

// refsError gives an error its exit status: a module that cannot be asked about is
// not a kernel that cannot be traced.
func refsError(module string, err error) error {
	switch {
	case errors.Is(err, tracer.ErrNotLoaded):
		return &exitError{status: exitRefused, err: &kmod.Error{Op: "refs", Module: module, Err: kmod.ErrNotLoaded}, hint: "kmodtrace list shows what is loaded"}
	case errors.Is(err, tracer.ErrNotCounted):
		return &exitError{status: exitRefused, err: &kmod.Error{Op: "refs", Module: module, Err: tracer.ErrNotCounted}}
	}
	return tracing.Error(err)
}

// refsWatcher shows the balance, each interval and at the end.
type refsWatcher struct {
	*refsOptions
	refs   *tracer.Refs
	out    io.Writer
	record render.Refs
}

// unloadCheck is how often it is looked whether the module has gone: nothing tells.
const unloadCheck = 100 * time.Millisecond

func (w *refsWatcher) watch(ctx context.Context) error {
	if w.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.timeout)
		defer cancel()
	}
	check := time.NewTicker(unloadCheck)
	defer check.Stop()
	var each <-chan time.Time
	if w.interval > 0 {
		ticker := time.NewTicker(w.interval)
		defer ticker.Stop()
		each = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return w.end()
		case <-each:
			if err := w.show(); err != nil {
				return err
			}
		case <-check.C:
			total, err := w.refs.Totals()
			if err != nil {
				return err
			}
			if total.Unloaded {
				return w.end()
			}
		}
	}
}

// end detaches, shows the last balance, and says what is missing in it.
func (w *refsWatcher) end() error {
	count, countErr := tracer.RefCount(w.record.Module)
	if err := w.refs.Close(); err != nil {
		return err
	}
	w.record.Final = true
	if err := w.take(count, countErr); err != nil {
		return err
	}
	if err := w.print(); err != nil {
		return err
	}
	if n := w.record.Totals.Lost; n > 0 {
		return &exitError{status: exitLost, err: fmt.Errorf("%s of references found no room", cells.Plural(n, "change")), hint: "the balance is incomplete"}
	}
	return nil
}

func (w *refsWatcher) show() error {
	if err := w.take(tracer.RefCount(w.record.Module)); err != nil {
		return err
	}
	return w.print()
}

// take completes the record. A module that went has no count any more, and one of
// its name that came since is another.
func (w *refsWatcher) take(count int, countErr error) (err error) {
	r := &w.record
	if r.Sites, err = w.refs.Balance(); err != nil {
		return err
	}
	if r.Totals, err = w.refs.Totals(); err != nil {
		return err
	}
	r.Took = time.Since(r.Time)
	r.CountNow = &count
	if r.Totals.Unloaded || errors.Is(countErr, tracer.ErrNotLoaded) {
		r.CountNow = nil
		return nil
	}
	return countErr
}

func (w *refsWatcher) print() error {
	if !w.json {
		_, err := io.WriteString(w.out, render.NewRefsText(term.ThemeOf(w.out), term.Columns(w.out)).Render(&w.record))
		return term.OutputError(err)
	}
	line, err := term.JSONLine(&w.record)
	if err != nil {
		return err
	}
	_, err = w.out.Write(line)
	return term.OutputError(err)
}
