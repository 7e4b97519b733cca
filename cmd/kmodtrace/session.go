package main

import (
	"context"
	"errors"

	"github.com/kmodtrace/kmodtrace/account"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/rs/zerolog"
)

// session is what a command has that acts on this kernel and proves it, once or again and
// again: the attached tracer, by which it is its own witness, and what causes are looked
// up in.
type session struct {
	tracer   *tracer.Tracer
	giveBack func() error // the tracer
	witness  *witness
	kernel   *kernel.Kernel
	inquiry  *account.Inquiry
}

// startSession attaches. Where tracing is not possible nothing is to be done at all.
func startSession(ctx context.Context, backend tracer.Backend) (*session, error) {
	t, giveBack, err := borrowTracer(ctx, backend)
	if err != nil {
		return nil, err
	}
	sayBlind(zerolog.Ctx(ctx), t.Coverage())
	k, err := kernel.Open(nil)
	if err != nil {
		return nil, errors.Join(err, giveBack())
	}
	return &session{t, giveBack, newWitness(t), k, account.NewPatientInquiry(k, false)}, nil
}

func (s *session) close() error {
	s.witness.close()
	return s.giveBack()
}

// attempt is the witness's, after which there is one again for the next attempt: one
// that is without a verdict has ended the reading, and the hand is still in the
// kernel then; one that crashed has taken the hand with it.
func (s *session) attempt(ctx context.Context, kind tracer.ActionKind, do func() error) *attempt {
	a := s.witness.attempt(ctx, kind, do)
	if !a.settled() || a.last().Crashed {
		s.witness.close()
		s.witness = newWitness(s.tracer)
	}
	return a
}

// explain adds the causes. What became of it is known then: the reason is looked for
// even if somebody has stopped waiting.
func (s *session) explain(ctx context.Context, r *result) {
	r.explain(context.WithoutCancel(ctx), s.kernel, s.inquiry)
}
