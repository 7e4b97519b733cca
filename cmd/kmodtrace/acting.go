package main

import (
	"context"
	"errors"

	"github.com/rs/zerolog"

	"github.com/kmodtrace/kmodtrace/account"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// acting is what a command has that acts on this kernel and proves it: the attached tracer,
// by which it is its own witness, and what causes are looked up in.
type acting struct {
	tracer  *tracer.Tracer
	witness *witness
	kernel  *kernel.Kernel
	inquiry *account.Inquiry
}

// startActing attaches. Where tracing is not possible nothing is to be done at all.
func startActing(ctx context.Context, backend tracer.Backend) (*acting, error) {
	t, err := openTracer(backend)
	if err != nil {
		return nil, err
	}
	sayBlind(zerolog.Ctx(ctx), t.Coverage())
	k, err := kernel.Open(nil)
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return &acting{t, newWitness(t), k, account.NewInquiry(k, false)}, nil
}

func (a *acting) close() error {
	a.witness.close()
	return a.tracer.Close()
}
