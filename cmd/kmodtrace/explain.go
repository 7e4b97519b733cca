package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/ending"
	"github.com/kmodtrace/kmodtrace/internal/filter"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/tail"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/internal/tracing"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

func newExplainCommand() *cobra.Command {
	opts := new(explainOptions)
	cmd := &cobra.Command{
		Use:   "explain [CODE|FILE|-]",
		Short: "Explain why something failed, at length",
		Long: `Explain why actions failed: the cause, the evidence that it was concluded from, and what
to do next.

A CODE, such as symbol-missing, is explained in general; without an argument the codes are
listed. A FILE (or - for standard input) holds what watch --json, load --json or unload
--json printed: each failure in it is explained. With --live the next failures on this
machine are, as they happen.`,
		Example: `  kmodtrace explain symbol-gpl-only
  kmodtrace watch --json > seen.json; kmodtrace explain seen.json
  kmodtrace load ./hello.ko --json | kmodtrace explain -
  kmodtrace explain --live --count 1`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || opts.live && len(args) > 0 {
				return cli.Usagef("explain takes one CODE or FILE, or --live")
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return filter.CodeNames(), cobra.ShellCompDirectiveDefault
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			defer ending.SurviveBrokenPipe()()
			return opts.run(cmd, args)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&opts.json, "json", false, "print a JSON object a line (docs/schema/meaning.schema.json, action.schema.json)")
	flags.BoolVar(&opts.live, "live", false, "explain failures on this machine as they happen")
	flags.Uint64Var(&opts.count, "count", 0, "with --live: end after `N` failures; 0 for never")
	flags.DurationVar(&opts.timeout, "timeout", 0, "with --live: end after this `TIME`; 0 for never")
	flags.StringVar(&opts.readyFile, "ready-file", "", "with --live: make `FILE` when everything is attached")
	tracing.AddBackendFlag(cmd, &opts.backend)
	return cmd
}

type explainOptions struct {
	json, live bool
	count      uint64
	timeout    time.Duration
	readyFile  string
	backend    tracer.Backend
}

func (o *explainOptions) run(cmd *cobra.Command, args []string) error {
	out := cmd.OutOrStdout()
	if o.timeout < 0 {
		return cli.Usagef("--timeout %v: must not be negative", o.timeout)
	}
	switch {
	case o.live:
		return o.watch(cmd.Context(), out)
	case len(args) == 0:
		return o.list(out)
	case args[0] == "-":
		return o.stream(cmd.Context(), out, cmd.InOrStdin(), "standard input")
	}
	if m, ok := cause.MeaningOf(cause.Code(args[0])); ok {
		return o.meaning(out, m)
	}
	f, err := os.Open(args[0])
	if errors.Is(err, os.ErrNotExist) {
		return &exitError{status: exitUsage, err: fmt.Errorf("%s is neither a code nor a file", cells.Short(args[0])), hint: "kmodtrace explain lists the codes"}
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return o.stream(cmd.Context(), out, f, cells.Short(args[0]))
}

// list gives all codes, a line each.
func (o *explainOptions) list(out io.Writer) error {
	if o.json {
		for _, m := range cause.Codes() {
			if err := o.meaning(out, m); err != nil {
				return err
			}
		}
		return nil
	}
	t := render.NewResultText(term.ThemeOf(out), term.Columns(out))
	var lines []cells.Line
	for _, m := range cause.Codes() {
		head := cells.Line{}.Cell(cells.Strong, string(m.Code), codeColumns)
		for i, part := range cells.Wrap(m.Means, t.Width-cells.Count(head.String())) {
			if i > 0 {
				head = cells.Line{}.Cell(cells.Plain, "", codeColumns)
			}
			lines = append(lines, head.Add(cells.Plain, part))
		}
	}
	_, err := io.WriteString(out, t.Text(lines))
	return term.OutputError(err)
}

const codeColumns = len("compression-unsupported")

func (o *explainOptions) meaning(out io.Writer, m cause.Meaning) error {
	if o.json {
		text, err := term.JSONLine(m)
		if err != nil {
			return err
		}
		_, err = out.Write(text)
		return term.OutputError(err)
	}
	t := render.NewResultText(term.ThemeOf(out), term.Columns(out))
	lines := []cells.Line{cells.Line{}.Add(cells.Strong, string(m.Code)).Spaced(cells.Dim, "("+m.Of+")")}
	lines = append(lines, t.Wrapped("means", cells.Plain, m.Means)...)
	lines = append(lines, t.Wrapped("because", cells.Plain, m.Because)...)
	lines = append(lines, t.Wrapped("next", cells.Plain, m.Next)...)
	_, err := io.WriteString(out, t.Text(lines))
	return term.OutputError(err)
}

// maxLine bounds a line of a stream. An action with all its messages has some
// hundred kilobytes.
const maxLine = 16 << 20

// stream explains what a saved stream has.
func (o *explainOptions) stream(ctx context.Context, out io.Writer, in io.Reader, name string) error {
	k, err := kernel.Open(nil)
	if err != nil {
		return err
	}
	x := cause.NewExplainer(k, &cause.Options{Recorded: true, Timeout: record.Patience})
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	shown := 0
	for n := 1; lines.Scan(); n++ {
		actions, err := recorded(lines.Bytes())
		if err != nil {
			return fmt.Errorf("%s, line %d: %w", name, n, err)
		}
		for _, e := range actions {
			if e.Cause == nil {
				e.Explained = x.Explain(ctx, e.Action)
			}
			if e.Cause == nil && len(e.Warnings) == 0 {
				continue
			}
			shown++
			if err := o.explained(out, e); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if shown == 0 {
		zerolog.Ctx(ctx).Info().Msg("nothing failed in it")
	}
	return nil
}

// recorded reads a line: an action, or a result with its actions. A result without
// any (nothing was attempted) stands for one that failed.
func recorded(text []byte) ([]record.Record, error) {
	var r struct {
		Command, Target string
		Cause           *cause.Cause
		Actions         []record.Record
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("not what watch, load or unload print with --json: %w", err)
	}
	if r.Command != "" {
		if len(r.Actions) == 0 && r.Cause != nil {
			e := record.Record{Explained: cause.Explained{Cause: r.Cause}}
			e.Kind, e.Module, e.Outcome = tracer.Load, r.Target, tracer.Failed
			if r.Command == "unload" {
				e.Kind = tracer.Unload
			}
			r.Actions = append(r.Actions, e)
		}
		return r.Actions, nil
	}
	var e record.Record
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, fmt.Errorf("not what watch, load or unload print with --json: %w", err)
	}
	if e.Kind == 0 {
		return nil, errors.New("not what watch, load or unload print with --json: it has no action")
	}
	return []record.Record{e}, nil
}

// watch explains failures as they happen.
func (o *explainOptions) watch(ctx context.Context, out io.Writer) error {
	if err := removeStale(o.readyFile); err != nil {
		return err
	}
	k, err := tracing.Kernel(ctx)
	if err != nil {
		return err
	}
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
	render.SayBlind(zerolog.Ctx(ctx), t.Coverage())
	if err := writeReady(o.readyFile); err != nil {
		return err
	}
	q := record.NewPatientInquiry(k, false)
	shown := uint64(0)
	actions := tail.New(ctx, t.Actions)
	defer actions.Finish()
	ctx = context.WithoutCancel(ctx)
	for a := range actions.Items {
		e := q.All(ctx, a)
		if e.Cause == nil {
			continue
		}
		if err := o.explained(out, e); err != nil {
			return err
		}
		if shown++; o.count > 0 && shown >= o.count {
			break
		}
	}
	actions.Finish()
	return errors.Join(actions.Err, giveBack())
}

// explained prints one action at length.
func (o *explainOptions) explained(out io.Writer, e record.Record) error {
	if o.json {
		text, err := term.JSONLine(e)
		if err != nil {
			return err
		}
		_, err = out.Write(text)
		return term.OutputError(err)
	}
	t := render.NewResultText(term.ThemeOf(out), term.Columns(out))
	_, err := io.WriteString(out, t.Text(t.Explanation(&e)))
	return term.OutputError(err)
}
