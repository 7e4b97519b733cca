package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/ending"
	"github.com/kmodtrace/kmodtrace/internal/follow"
	"github.com/kmodtrace/kmodtrace/internal/outfile"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/tail"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/internal/tracing"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func newRunCommand() *cobra.Command {
	opts := new(runOptions)
	cmd := &cobra.Command{
		Use:   "run [flags] -- COMMAND [ARGUMENT]...",
		Short: "Run a command, and show what the kernel does with modules because of it",
		Long: `Run a command, and show each attempt to load, unload or request a module that it or a
descendant of it makes, and each load by which the kernel answers such a request. What
others do meanwhile is not shown, nor what another service (systemd, udev) does because
the command has told it something.

The command has this one's standard input, output and error, its terminal and its signals.
With --user, where any of these is a terminal, it has a session and a terminal of its own in
place of that, from which it cannot type into this user's shell.
The report goes to standard error or, by --output, into a file, and ends with a line
that sums up, on standard error. It ends with the command. What descendants that outlive
it do later is not shown; what they have begun is shown as pending. Where the kernel was
asked for a module that nobody waits for, that load has a second.

Exit status is the command's, and a signal that kills it kills this one too: a shell
shows 128 plus its number. 127 says that the command was not found, 126 that it cannot
be started, 2 and 4 are of a command line that makes no sense and a kernel that cannot be
traced: then nothing was run. Lost events are said on standard error.`,
		Example: `  kmodtrace run -- modprobe xfs
  kmodtrace run -- sh -c 'ip link add d0 type dummy'
  kmodtrace run --json --output modules.json -- mount disk.img /mnt
  sudo kmodtrace run --user "$USER" -- make check`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cli.Usagef("no command to run: give it after --")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			defer ending.SurviveBrokenPipe()()
			opts.toFile, opts.asUser = cmd.Flags().Changed("output"), cmd.Flags().Changed("user")
			return opts.run(cmd.Context(), args, cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.SetInterspersed(false)
	flags.StringVarP(&opts.output, "output", "o", "", "write the report into `FILE`, not to standard error")
	flags.BoolVar(&opts.json, "json", false, "report a JSON object a line (docs/schema/action.schema.json)")
	flags.BoolVarP(&opts.quiet, "quiet", "q", false, "do not sum up")
	flags.StringVarP(&opts.user, "user", "u", "", "run the command as `USER`, with that user's groups, HOME, USER and LOGNAME")
	tracing.AddBackendFlag(cmd, &opts.backend)
	return cmd
}

type runOptions struct {
	json, quiet    bool
	output, user   string
	toFile, asUser bool // these were given, perhaps empty
	backend        tracer.Backend
}

// run attaches first, then starts the command. Its error is the command's own end, once
// it was started: what else went wrong then is only said.
func (o *runOptions) run(ctx context.Context, args []string, stderr io.Writer) error {
	p, err := follow.Find(args)
	if err != nil {
		return err
	}
	if o.toFile && o.output == "" {
		return cli.Usagef("--output %q: want the name of a file", "")
	}
	if o.asUser {
		if err := p.As(o.user); err != nil {
			return err
		}
	}
	// Signals are the command's from here on: what ends it ends all of this.
	signals := follow.NewRelay()
	defer signals.Stop()
	ctx = context.WithoutCancel(ctx)
	t, err := openTracerAside(o.backend)
	if err != nil {
		return err
	}
	defer t.Close()
	render.SayBlind(zerolog.Ctx(ctx), t.Coverage())
	report, err := o.newReport(stderr)
	if err != nil {
		return err
	}
	defer report.Close()
	r := &follow.Runner{Tail: tail.New(ctx, t.Actions), Report: report, Signals: signals, Log: zerolog.Ctx(ctx)}
	defer r.Tail.Finish()
	if err := r.Meet(ctx); err != nil {
		return err
	}
	if s := signals.Asked(); s != 0 {
		return &exitError{status: 128 + int(s), err: errors.New("not begun: interrupted"), signal: s}
	}
	if err := report.Begin(); err != nil {
		return err
	}
	pid, err := p.Start()
	if err != nil {
		return err
	}
	signals.Has(p)
	status := r.Follow(ctx, pid)
	if p.Terminal != nil {
		p.Terminal.End()
	}
	o.end(r, t)
	return endError(status)
}

// end detaches, and says what was seen and lost.
func (o *runOptions) end(r *follow.Runner, t *tracer.Tracer) {
	err := errors.Join(r.Tail.Err, r.Report.Close(), t.Close())
	loss, lossErr := t.Loss()
	if err := errors.Join(err, lossErr); err != nil && err.Error() != "" {
		logError(r.Log.Error(), err)
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
	if n := r.Report.Untold; n > 0 {
		r.Log.Warn().Msgf("%s more may be the command's: who caused that was not seen", cells.Plural(n, "action"))
	}
	if !o.quiet {
		r.Log.Info().Uint64("shown", r.Report.Shown).Msg(r.Report.Summary())
	}
}

// endError ends this process as the command ended.
func endError(status syscall.WaitStatus) error {
	switch {
	case status.Signaled():
		return &exitError{status: 128 + int(status.Signal()), err: term.ErrSilent, signal: status.Signal()}
	case status.ExitStatus() != 0:
		return &exitError{status: status.ExitStatus(), err: term.ErrSilent}
	}
	return nil
}

// openTracerAside is openTracer without a trace in what a child inherits: old kernels
// count the memory of BPF against a limit, which attaching takes away.
func openTracerAside(backend tracer.Backend) (*tracer.Tracer, error) {
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
func (o *runOptions) newReport(stderr io.Writer) (*follow.Report, error) {
	k, err := kernel.Open(nil)
	if err != nil {
		return nil, err
	}
	r := &follow.Report{JSON: o.json, Out: stderr, Inquiry: record.NewPatientInquiry(k, !o.json)}
	if o.toFile {
		if r.Unbegun, err = outfile.Create(o.output); err != nil {
			return nil, fmt.Errorf("output: %w", err)
		}
		r.Out = r.Unbegun.Temp
	}
	r.Table = render.NewActionTable(term.ThemeOf(r.Out), term.Columns(r.Out))
	return r, nil
}
