package main

import (
	"context"
	"errors"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/rs/zerolog"
)

// openSession attaches, and gives a session with what ends it and detaches. Where tracing is
// not possible nothing is to be done at all.
func openSession(ctx context.Context, backend tracer.Backend) (s *proof.Session, end func() error, err error) {
	t, giveBack, err := borrowTracer(ctx, backend)
	if err != nil {
		return nil, nil, err
	}
	render.SayBlind(zerolog.Ctx(ctx), t.Coverage())
	k, err := borrowKernel(ctx)
	if err == nil {
		s, err = proof.Open(&proof.Options{Tracer: t, Kernel: k})
	}
	if err != nil {
		return nil, nil, errors.Join(err, giveBack())
	}
	return s, func() error { return errors.Join(s.Close(), giveBack()) }, nil
}

// explain adds the causes. What became of it is known then: the reason is looked for
// even if somebody has stopped waiting.
func explain(ctx context.Context, s *proof.Session, r *proof.Result) {
	s.Explain(context.WithoutCancel(ctx), r)
}

// failure gives the command's error for what is not confirmed, on one line; nil for nil. Its
// exit status is that of the error: see statusOf.
func failure(err error, hint string) error {
	if err == nil {
		return nil
	}
	return &exitError{status: statusOf(err), err: cells.OneLine(err), hint: hint}
}

// resultFailure is failure for one result.
func resultFailure(r *proof.Result) error { return failure(r.Err(), resultHint(r)) }

// resultHint says what to do next about a result.
func resultHint(r *proof.Result) string {
	err := r.Err()
	var named *kmod.Error
	switch {
	case !r.Verdict.Known():
		return "kmodtrace list shows what is loaded now"
	case errors.Is(err, kmod.ErrLoaded) && errors.As(err, &named):
		return "take it out first: kmodtrace unload " + cells.Short(named.Module)
	case errors.Is(err, kmod.ErrInUse):
		return "--wait asks again until its last user is gone"
	case r.Cause != nil:
		return "kmodtrace explain " + string(r.Cause.Code) + " says more"
	}
	return ""
}
