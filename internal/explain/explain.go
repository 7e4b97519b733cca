// Package explain prints causes at length: the codes, those in what a command has printed, and those
// of failures as they happen.
package explain

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/ending"
	"github.com/kmodtrace/kmodtrace/internal/jsonline"
	"github.com/kmodtrace/kmodtrace/internal/outfile"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/tail"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/internal/tracing"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/rs/zerolog"
)

// Options say how causes are printed and, where failures are explained as they happen, until when.
type Options struct {
	JSON, Live bool
	Count      uint64 // of failures; 0 for all
	Timeout    time.Duration
	ReadyFile  string
	Backend    tracer.Backend
}

// Run explains the code or the stream that args name, or the next failures of this machine, or lists
// the codes.
func (o *Options) Run(ctx context.Context, args []string, stdin io.Reader, out io.Writer) error {
	if o.Timeout < 0 {
		return cli.Usagef("--timeout %v: must not be negative", o.Timeout)
	}
	switch {
	case o.Live:
		return o.watch(ctx, out)
	case len(args) == 0:
		return o.list(out)
	case args[0] == "-":
		return o.stream(ctx, out, stdin, "standard input")
	}
	if m, ok := cause.MeaningOf(cause.Code(args[0])); ok {
		return o.meaning(out, m)
	}
	f, err := os.Open(args[0])
	if errors.Is(err, os.ErrNotExist) {
		return cli.WithHint(cli.Usagef("%s is neither a code nor a file", cells.Short(args[0])), "kmodtrace explain lists the codes")
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return o.stream(ctx, out, f, cells.Short(args[0]))
}

// list gives all codes, a line each.
func (o *Options) list(out io.Writer) error {
	if o.JSON {
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

func (o *Options) meaning(out io.Writer, m cause.Meaning) error {
	if o.JSON {
		return term.PrintJSONLine(out, m)
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
func (o *Options) stream(ctx context.Context, out io.Writer, in io.Reader, name string) error {
	k, err := kernel.Open(nil)
	if err != nil {
		return err
	}
	x := cause.NewExplainer(k, &cause.Options{Recorded: true, Timeout: record.Patience})
	shown := 0
	err = Records(in, name, func(e *record.Record) error {
		if e.Cause == nil {
			why := x.Explain(ctx, e.Action)
			e.Cause, e.Warnings = why.Cause, why.Warnings
		}
		if e.Cause == nil && len(e.Warnings) == 0 {
			return nil
		}
		shown++
		return o.explained(out, *e)
	})
	if err != nil {
		return err
	}
	if shown == 0 {
		zerolog.Ctx(ctx).Info().Msg("nothing failed in it")
	}
	return nil
}

// Records gives each record of what watch, load or unload printed with --json. name is the stream's, for
// errors, which name the line.
func Records(in io.Reader, name string, take func(*record.Record) error) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		actions, err := Recorded(lines.Bytes())
		if err != nil {
			return fmt.Errorf("%s, line %d: %w", name, n, err)
		}
		for i := range actions {
			if err := take(&actions[i]); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Recorded reads a line: an action, or a result with its actions. A result without
// any (nothing was attempted) stands for one that failed.
func Recorded(text []byte) ([]record.Record, error) {
	var r struct {
		Command, Target string
		Cause           *cause.Cause
		Actions         []record.Record
	}
	if err := jsonline.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("not what watch, load or unload print with --json: %w", err)
	}
	if r.Command != "" {
		if len(r.Actions) == 0 && r.Cause != nil {
			e := record.Record{Cause: r.Cause}
			e.Kind, e.Module, e.Outcome = tracer.Load, r.Target, tracer.Failed
			if r.Command == "unload" {
				e.Kind = tracer.Unload
			}
			r.Actions = append(r.Actions, e)
		}
		return r.Actions, nil
	}
	e, err := record.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("not what watch, load or unload print with --json: %w", err)
	}
	if e.Kind == 0 {
		return nil, errors.New("not what watch, load or unload print with --json: it has no action")
	}
	return []record.Record{*e}, nil
}

// watch explains failures as they happen.
func (o *Options) watch(ctx context.Context, out io.Writer) error {
	if err := outfile.RemoveStale(o.ReadyFile); err != nil {
		return err
	}
	k, err := tracing.Kernel(ctx)
	if err != nil {
		return err
	}
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
	ctx, stop := ending.WhileRead(ctx, out)
	defer stop()
	render.SayBlind(zerolog.Ctx(ctx), t.Coverage())
	if err := outfile.WriteReady(o.ReadyFile); err != nil {
		return err
	}
	q := record.NewPatientInquiry(k, false)
	shown := uint64(0)
	actions := tail.New(ctx, t.Actions)
	defer actions.Finish()
	looking := context.WithoutCancel(ctx)
	for a := range actions.Items {
		e := q.All(looking, a)
		if e.Cause == nil {
			continue
		}
		if err := o.explained(out, e); err != nil {
			return err
		}
		if shown++; o.Count > 0 && shown >= o.Count {
			break
		}
	}
	actions.Finish()
	return errors.Join(actions.Err, ending.ReaderGone(ctx), giveBack())
}

func (o *Options) explained(out io.Writer, e record.Record) error {
	return Print(out, &e, o.JSON)
}

// Print prints one action at length, or as JSON.
func Print(out io.Writer, r *record.Record, asJSON bool) error {
	return render.PrintResult(out, asJSON, r, func(t *render.ResultText) string { return t.Text(t.Explanation(r)) })
}
