package main

import (
	"context"
	"errors"
	"time"

	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/rs/zerolog"
)

// How long the kernel may take when nobody waits for a reload any more. One that is
// stopped in between would leave nothing in the kernel; but an exit or an init that
// hangs is not to hold the command for ever.
const (
	interruptPatience = 10 * time.Second
	putBackPatience   = 2 * time.Minute
)

var errNoFile = errors.New("not a file's name")

// reloader reloads modules, one after another.
type reloader struct {
	*reloadOptions
	kernel  *kernel.Kernel
	keeper  *keeper
	keepErr error // why nothing can be kept
}

func newReloader(o *reloadOptions) (*reloader, error) {
	k, err := kernel.Open(nil)
	if err != nil {
		return nil, err
	}
	r := &reloader{reloadOptions: o, kernel: k}
	r.keeper, r.keepErr = newKeeper(keptFolder)
	return r, nil
}

func (r *reloader) close() {
	if r.keeper != nil {
		r.keeper.close()
	}
}

// reload replaces the loaded copy of a file's module by the file. Whatever happens, it
// says in the end which copy is in the kernel.
func (r *reloader) reload(ctx context.Context, s *proof.Session, file string, params kmod.Params) *reloadResult {
	res, plan := r.prepare(ctx, file, params)
	if plan != nil {
		r.carryOut(ctx, s, res, plan)
	}
	return res
}

// carryOut does what was prepared.
func (r *reloader) carryOut(ctx context.Context, s *proof.Session, res *reloadResult, plan *replacement) {
	if plan.old != nil && plan.old.Content == "" {
		zerolog.Ctx(ctx).Warn().Str("module", res.Module).Msgf("there is no way back to the copy of %s that is loaded: %s", res.Module, plan.old.Why)
	}
	r.replace(ctx, s, res, plan)
	for _, part := range res.parts() {
		explain(ctx, s, part)
	}
	res.conclude(plan)
}

// replace removes, loads, and where that does not work out puts back.
func (r *reloader) replace(ctx context.Context, s *proof.Session, res *reloadResult, plan *replacement) {
	late, cancel := lingering(ctx, interruptPatience)
	defer cancel()
	if plan.old != nil {
		res.Unload = r.unload(ctx, late, s, plan.file.Name)
		switch {
		case res.Unload.Verdict == proof.Confirmed, errors.Is(res.Unload.Err(), kmod.ErrNotLoaded): // somebody was faster
		case inKernel(plan.file.Name):
			return
		default: // it went, though nothing proves how
			r.putBack(ctx, s, res, plan)
			return
		}
	}
	if ctx.Err() != nil {
		res.Load = proof.NewResult(tracer.Load, res.Target, proof.Unconfirmed, &kmod.Error{Op: "load", Module: plan.file.Name, Err: proof.ErrInterrupted})
	} else {
		res.Load = r.load(late, s, res.Target, plan.params.Params)
	}
	switch {
	case res.Load.Verdict == proof.Confirmed:
		r.keep(plan.file.Name, res.Target, absolute(res.Target), plan.params.Params)
	case plan.old != nil && !inKernel(plan.file.Name):
		r.putBack(ctx, s, res, plan)
	}
}

// unload asks as long as ctx lasts, and waits for the answer as long as late does.
func (r *reloader) unload(ctx, late context.Context, s *proof.Session, module string) *proof.Result {
	res, _ := s.Call(late, tracer.Unload, module, func() error { // the result has the error
		return kmod.Unload(ctx, module, &kmod.UnloadOptions{Wait: r.wait})
	})
	return res
}

func (r *reloader) load(ctx context.Context, s *proof.Session, file string, params kmod.Params) *proof.Result {
	res, _ := s.Load(ctx, file, &kmod.LoadOptions{Params: params}) // the result has the error
	return res
}

// putBack loads what was kept of the old copy, also when nobody waits any more.
func (r *reloader) putBack(ctx context.Context, s *proof.Session, res *reloadResult, plan *replacement) {
	if plan.old.Content == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), putBackPatience)
	defer cancel()
	res.Restore = r.load(ctx, s, plan.old.path, plan.back.Params)
	if res.Restore.Verdict == proof.Confirmed {
		r.keep(plan.file.Name, plan.old.path, plan.old.File, plan.back.Params)
	}
}

// keep keeps what is in the kernel now, from a path. If that is no longer what is there,
// the next reload has no way back, and says so.
func (r *reloader) keep(module, path, file string, params kmod.Params) {
	if r.keeper != nil {
		_ = r.keeper.keepFile(module, path, file, params.String())
	}
}

// lingering gives a context that ends some time after ctx does.
func lingering(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(d):
			cancel()
		case <-late.Done():
		}
	})
	return late, func() { stop(); cancel() }
}

func inKernel(module string) bool {
	_, err := kmod.Look(module, nil)
	return err == nil
}
