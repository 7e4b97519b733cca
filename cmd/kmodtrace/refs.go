package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/kmodtrace/kmodtrace/holders"
	"github.com/kmodtrace/kmodtrace/internal/act"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/ending"
	"github.com/kmodtrace/kmodtrace/internal/outfile"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/internal/tracing"
	"github.com/kmodtrace/kmodtrace/kmod"
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
The module's count includes references that were taken earlier; their owners are unknown.

It ends on Ctrl-C, SIGTERM, after --timeout, or when the module is unloaded. Only while it
runs, it uses the tracepoints module_get and module_put, which other work of the kernel passes
too. Exit status 5 means that there were more references than could be kept.`,
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
	flags.BoolVar(&opts.json, "json", false, "print a JSON object on each line, one for each time that it is shown (docs/schema/refs.schema.json)")
	flags.DurationVar(&opts.timeout, "timeout", 0, "end after this `TIME`; 0 for never")
	flags.DurationVar(&opts.interval, "interval", 0, "also show it each time that this `TIME` has passed; 0 for only at the end")
	flags.StringVar(&opts.readyFile, "ready-file", "", "create `FILE` when all hooks are attached")
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
	refs, err := holders.OpenRefs(module)
	if err != nil {
		return refsError(module, err)
	}
	defer refs.Close()
	zerolog.Ctx(ctx).Info().Str("module", module).Int("refcount", refs.CountBefore()).
		Msgf("ready: watching %s, which has %s now", module, render.References(refs.CountBefore()))
	if err := outfile.WriteReady(o.readyFile); err != nil {
		return err
	}
	if o.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.timeout)
		defer cancel()
	}
	ctx, stop := ending.WhileRead(ctx, stdout)
	defer stop()
	var lost uint64
	for report, err := range refs.Watch(ctx, o.interval) {
		if err != nil {
			return err
		}
		if err := o.print(stdout, report); err != nil {
			return err
		}
		lost = report.Totals.Lost
	}
	if err := ending.ReaderGone(ctx); err != nil {
		return err
	}
	if lost > 0 {
		return cli.WithHint(&cli.IncompleteError{Text: cells.Plural(lost, "change") + " of references found no room"}, "the balance is incomplete")
	}
	return nil
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
	case errors.Is(err, holders.ErrNotLoaded):
		return cli.WithHint(&kmod.Error{Op: "refs", Module: module, Err: kmod.ErrNotLoaded}, "kmodtrace list shows what is loaded")
	case errors.Is(err, holders.ErrNotCounted):
		return &kmod.Error{Op: "refs", Module: module, Err: holders.ErrNotCounted}
	}
	return tracing.Error(err)
}

func (o *refsOptions) print(out io.Writer, r *holders.Report) error {
	if o.json {
		return term.PrintJSONLine(out, r)
	}
	_, err := io.WriteString(out, render.NewRefsText(term.ThemeOf(out), term.Columns(out)).Render(r))
	return term.OutputError(err)
}
