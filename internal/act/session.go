package act

import (
	"context"
	"errors"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/tracing"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/rs/zerolog"
)

// OpenSession attaches, and gives a session with what ends it and detaches. Where tracing is
// not possible nothing is to be done at all.
func OpenSession(ctx context.Context, backend tracer.Backend) (s *proof.Session, end func() error, err error) {
	t, giveBack, err := tracing.Borrow(ctx, backend)
	if err != nil {
		return nil, nil, err
	}
	render.SayBlind(zerolog.Ctx(ctx), t.Coverage())
	k, err := tracing.Kernel(ctx)
	if err == nil {
		s, err = proof.Open(&proof.Options{Tracer: t, Kernel: k})
	}
	if err != nil {
		return nil, nil, errors.Join(err, giveBack())
	}
	return s, func() error { return errors.Join(s.Close(), giveBack()) }, nil
}

// Explain adds the causes. What became of it is known then: the reason is looked for
// even if somebody has stopped waiting.
func Explain(ctx context.Context, s *proof.Session, r *proof.Result) {
	s.Explain(context.WithoutCancel(ctx), r)
}

// Failure gives the command's error for what is not confirmed, on one line; nil for nil.
func Failure(err error, hint string) error {
	if err == nil {
		return nil
	}
	return cli.WithHint(cells.OneLine(err), hint)
}

// ResultError is failure for one result.
func ResultError(r *proof.Result) error { return Failure(r.Err(), Hint(r)) }

// Hint says what to do next about a result.
func Hint(r *proof.Result) string {
	switch {
	case !r.Verdict.Known():
		return "kmodtrace list shows what is loaded now"
	case r.Cause == nil:
		return ""
	case r.Cause.Code == cause.AlreadyLoaded:
		return "unload it first: kmodtrace unload " + cells.Short(r.Cause.Names["module"])
	case r.Cause.Code == cause.HeldByModules, r.Cause.Code == cause.HeldByReferences:
		return "--wait asks again until its last user is gone"
	}
	return "kmodtrace explain " + string(r.Cause.Code) + " says more"
}
