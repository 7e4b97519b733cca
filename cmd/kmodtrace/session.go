package main

import (
	"context"

	"github.com/kmodtrace/kmodtrace/account"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// session is a tracer that is attached, and what it takes to act under its eyes: once,
// or again and again.
type session struct {
	tracer  *tracer.Tracer
	witness *witness
	kernel  *kernel.Kernel
	inquiry *account.Inquiry
}

// newSession leaves it to the caller to close the tracer.
func newSession(t *tracer.Tracer) (*session, error) {
	k, err := kernel.Open(nil)
	if err != nil {
		return nil, err
	}
	return &session{tracer: t, witness: newWitness(t), kernel: k, inquiry: account.NewInquiry(k, false)}, nil
}

func (s *session) close() { s.witness.close() }

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
