// Package act is what the commands do that act on the kernel and prove it: load, unload and reload,
// each with its flags, its session, and what its error is worth to a user.
package act

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/ending"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/tracing"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/spf13/cobra"
)

// Options are those of the commands that act on the kernel and prove it.
type Options struct {
	json    bool
	timeout time.Duration
	backend tracer.Backend
}

func (o *Options) register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.json, "json", false, "print a JSON object on each line, one for each target (docs/schema/result.schema.json)")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 0, "stop waiting for the kernel after this `TIME`; 0 for never")
	tracing.AddBackendFlag(cmd, &o.backend)
}

func (o *Options) check() error {
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
	// show prints what came of it; nil is Options.print.
	show func(io.Writer, *kernel.Kernel, *proof.Result) error
}

// act attaches, does the jobs one after another, prints what came of each, and
// detaches. Where tracing is not possible nothing is done at all.
func (o *Options) act(ctx context.Context, out io.Writer, jobs []job) error {
	return o.attached(ctx, func(ctx context.Context, s *proof.Session) error {
		return o.actAll(ctx, out, s, jobs)
	})
}

// attached gives a session to act in, with a context that ends when nobody waits any more.
func (o *Options) attached(ctx context.Context, do func(context.Context, *proof.Session) error) (err error) {
	defer ending.SurviveBrokenPipe()()
	s, end, err := OpenSession(ctx, o.backend)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	if o.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.timeout)
		defer cancel()
	}
	return do(ctx, s)
}

// actAll goes on after a refusal, but not after a job of which it is not known
// whether it is done.
func (o *Options) actAll(ctx context.Context, out io.Writer, s *proof.Session, jobs []job) error {
	var failures cli.Failures
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
			Explain(ctx, s, r)
		}
		failures.Add(ResultError(r))
		if err := o.show(out, s.Kernel(), j, r); err != nil {
			failures.Add(err)
			break
		}
	}
	return failures.Err()
}

func (j *job) notBegun(why error) *proof.Result {
	return proof.NewResult(j.kind, j.target, proof.Unconfirmed, &kmod.Error{Op: j.kind.String(), Module: j.target, Err: why})
}

func (o *Options) show(out io.Writer, k *kernel.Kernel, j job, r *proof.Result) error {
	if j.show != nil {
		return j.show(out, k, r)
	}
	return o.print(out, r)
}

func (o *Options) print(out io.Writer, r *proof.Result) error {
	return render.PrintResult(out, o.json, r, func(t *render.ResultText) string { return t.Render(r) })
}
