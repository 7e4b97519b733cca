package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/spf13/cobra"
)

// actOptions are those of the commands that act on the kernel and prove it.
type actOptions struct {
	json    bool
	timeout time.Duration
	backend tracer.Backend
}

func (o *actOptions) register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.json, "json", false, "print a JSON object a line, one for each target (docs/schema/result.schema.json)")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 0, "stop waiting for the kernel after this `TIME`; 0 for never")
	addBackendFlag(cmd, &o.backend)
}

func (o *actOptions) check() error {
	if o.timeout < 0 {
		return cli.Usagef("--timeout %v: must not be negative", o.timeout)
	}
	return nil
}

// job is one target of a command, and how to bring it about.
type job struct {
	kind   tracer.ActionKind
	target string
	do     func(context.Context, *proof.Session) *proof.Result
	// show prints what came of it; nil is actOptions.print.
	show func(io.Writer, *kernel.Kernel, *proof.Result) error
}

// act attaches, does the jobs one after another, prints what came of each, and
// detaches. Where tracing is not possible nothing is done at all.
func (o *actOptions) act(cmd *cobra.Command, jobs []job) error {
	return o.attached(cmd, func(ctx context.Context, s *proof.Session) error {
		return o.actAll(ctx, cmd.OutOrStdout(), s, jobs)
	})
}

// attached gives a session to act in, with a context that ends when nobody waits any more.
func (o *actOptions) attached(cmd *cobra.Command, do func(context.Context, *proof.Session) error) (err error) {
	defer surviveBrokenPipe()()
	s, end, err := openSession(cmd.Context(), o.backend)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	ctx := cmd.Context()
	if o.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.timeout)
		defer cancel()
	}
	return do(ctx, s)
}

// actAll goes on after a refusal, but not after a job of which it is not known
// whether it is done.
func (o *actOptions) actAll(ctx context.Context, out io.Writer, s *proof.Session, jobs []job) error {
	var failures failures
	known := true
	for _, j := range jobs {
		var r *proof.Result
		switch {
		case ctx.Err() != nil:
			r = j.notBegun(proof.ErrInterrupted)
		case !known:
			r = j.notBegun(errors.New("not begun: it is not known what became of the one before"))
		default:
			r = j.do(ctx, s)
			known = r.Verdict.Known()
			explain(ctx, s, r)
		}
		failures.add(resultFailure(r))
		if err := o.show(out, s.Kernel(), j, r); err != nil {
			failures.add(err)
			break
		}
	}
	return failures.err()
}

func (j *job) notBegun(why error) *proof.Result {
	return proof.NewResult(j.kind, j.target, proof.Unconfirmed, &kmod.Error{Op: j.kind.String(), Module: j.target, Err: why})
}

func (o *actOptions) show(out io.Writer, k *kernel.Kernel, j job, r *proof.Result) error {
	if j.show != nil {
		return j.show(out, k, r)
	}
	return o.print(out, r)
}

func (o *actOptions) print(out io.Writer, r *proof.Result) error {
	return render.PrintResult(out, o.json, r, func(t *render.ResultText) string { return t.Render(r) })
}

// failures are the errors of several targets. The exit status is that of the
// worst.
type failures []error

func (f *failures) add(err error) {
	if err != nil {
		*f = append(*f, err)
	}
}

func (f failures) err() error {
	if len(f) == 0 {
		return nil
	}
	all := &exitError{hint: cli.HintOf(f[0])}
	var texts []error
	for _, err := range f {
		all.status = max(all.status, statusOf(err))
		if err.Error() != "" {
			if len(texts) > 0 { // the first gets it as any error
				err = fmt.Errorf("kmodtrace: %w", err)
			}
			texts = append(texts, err)
		}
	}
	if all.err = errors.Join(texts...); all.err == nil {
		all.err = term.ErrSilent
	}
	return all
}

// targetError is about what was asked for, before the kernel was.
func targetError(err error) error {
	return &exitError{status: statusOfTarget(err), err: cells.OneLine(err)}
}

// fileError is targetError for a file that a command was given, in that command's words
// whatever found it out.
func fileError(command, file string, err error) error {
	return targetError(&kmod.Error{Op: command, Module: file, Err: bareCause(err)})
}

// bareCause takes off the operation and the file, which the caller names itself.
func bareCause(err error) error {
	if e, ok := err.(*kmod.Error); ok {
		return e.Err
	}
	return err
}
