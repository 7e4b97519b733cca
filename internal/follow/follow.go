package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"syscall"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/diag"
	"github.com/kmodtrace/kmodtrace/internal/outfile"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/tail"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/internal/tracing"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

// Options say as whom a command runs, and where the report on it goes.
type Options struct {
	JSON, Quiet    bool
	Output, User   string
	ToFile, AsUser bool          // these were given, perhaps empty
	PendingAfter   time.Duration // how long an action lasts before it is shown as pending; 0 for never
	Backend        tracer.Backend
}

// Run attaches first, then starts the command. Once that was started, there is no error: it gives the
// command's own end, and what else went wrong is only said.
func (o *Options) Run(ctx context.Context, args []string, stderr io.Writer) (status syscall.WaitStatus, err error) {
	p, err := Find(args)
	if err != nil {
		return 0, err
	}
	if o.ToFile && o.Output == "" {
		return 0, cli.Usagef("--output %q: must be the name of a file", "")
	}
	if o.PendingAfter < 0 {
		return 0, cli.Usagef("--pending-after %v: must not be negative", o.PendingAfter)
	}
	if o.AsUser {
		if err := p.As(o.User); err != nil {
			return 0, err
		}
	}
	// Signals are the command's from here on: what ends it ends all of this.
	signals := NewRelay()
	defer signals.Stop()
	ctx = context.WithoutCancel(ctx)
	t, err := openAside(o.Backend)
	if err != nil {
		return 0, err
	}
	defer t.Close()
	render.SayBlind(zerolog.Ctx(ctx), t.Coverage())
	report, err := o.newReport(stderr)
	if err != nil {
		return 0, err
	}
	defer report.Close()
	actions := func(ctx context.Context) iter.Seq2[tracer.Action, error] {
		return t.ActionsPending(ctx, o.PendingAfter)
	}
	r := &Runner{Tail: tail.New(ctx, actions), Fence: t.Fence, Report: report, Signals: signals, Log: zerolog.Ctx(ctx)}
	defer r.Tail.Finish()
	if err := r.Meet(ctx); err != nil {
		return 0, err
	}
	if r.Tools, err = watchTools(); err != nil {
		r.Log.Warn().Msgf("what rmmod, modprobe and insmod refuse by themselves is not seen: %v", cells.OneLine(err))
	}
	defer r.Tools.Close()
	if s := signals.Asked(); s != 0 {
		return 0, &NotBegunError{s}
	}
	if err := report.Begin(); err != nil {
		return 0, err
	}
	pid, err := p.Start()
	if err != nil {
		return 0, err
	}
	signals.Has(p)
	status = r.Follow(ctx, pid)
	r.endTools(ctx)
	if p.Terminal != nil {
		p.Terminal.End()
	}
	o.end(r, t)
	return status, nil
}

// NotBegunError says that a signal came before the command was started.
type NotBegunError struct{ Signal syscall.Signal }

func (e *NotBegunError) Error() string { return "not begun: interrupted" }

// end detaches, and says what was seen and lost.
func (o *Options) end(r *Runner, t *tracer.Tracer) {
	err := errors.Join(r.Tail.Err, r.Report.Close(), t.Close())
	loss, lossErr := t.Loss()
	if err := errors.Join(err, lossErr); err != nil && err.Error() != "" {
		diag.Error(r.Log.Error(), err)
	}
	if loss.Any() {
		r.Log.Warn().Msgf("%s: what was shown may be incomplete", render.LossText(loss))
	}
	if all := t.Disturbances(); len(all) > 0 {
		r.Log.Warn().Msgf("hooks were disturbed: %s: what was shown may be incomplete", render.DisturbancesText(all))
	}
	if folded, err := t.Folded(); err == nil && len(folded) > 0 {
		r.Log.Warn().Msgf("counted, not shown one by one, and perhaps the command's: %s", render.FoldedText(folded, make(render.Users)))
	}
	if n := r.Report.Unattributed; n > 0 {
		r.Log.Warn().Msgf("%s more may be the command's: who caused that was not seen", cells.Plural(n, "action"))
	}
	if !o.Quiet {
		r.Log.Info().Uint64("shown", r.Report.Shown).Msg(r.Report.Summary())
	}
}

// openAside is [tracing.Open] without a trace in what a child inherits: old kernels
// count the memory of BPF against a limit, which attaching takes away.
func openAside(backend tracer.Backend) (*tracer.Tracer, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return nil, fmt.Errorf("limit of locked memory: %w", err)
	}
	t, err := tracing.Open(backend)
	if err != nil {
		return nil, err
	}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return nil, errors.Join(fmt.Errorf("limit of locked memory: %w", err), t.Close())
	}
	return t, nil
}

// newReport opens the file, if it is to be one, and gets ready to explain.
func (o *Options) newReport(stderr io.Writer) (*Report, error) {
	k, err := kernel.Open(nil)
	if err != nil {
		return nil, err
	}
	r := &Report{JSON: o.JSON, Out: stderr, kernel: k, Inquiry: record.NewPatientInquiry(k, !o.JSON)}
	if o.ToFile {
		if r.Unbegun, err = outfile.Create(o.Output); err != nil {
			return nil, fmt.Errorf("output: %w", err)
		}
		r.Out = r.Unbegun.Temp
	}
	r.Table = render.NewActionTable(term.ThemeOf(r.Out), term.Columns(r.Out))
	return r, nil
}
