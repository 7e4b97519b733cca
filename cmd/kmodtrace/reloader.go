package main

import (
	"context"
	"errors"
	"time"

	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// How long the kernel may take when nobody waits for a reload any more. One that is
// stopped in between would leave nothing in the kernel; but an exit or an init that
// hangs is not to hold the command for ever.
const (
	interruptPatience = 10 * time.Second
	putBackPatience   = 2 * time.Minute
)

var errNoFile = errors.New("not a file's name")

// reloader reloads modules in a session, one after another.
type reloader struct {
	*reloadOptions
	session *session
	keeper  *keeper
	keepErr error // why nothing can be kept
}

func newReloader(s *session, o *reloadOptions) *reloader {
	r := &reloader{reloadOptions: o, session: s}
	r.keeper, r.keepErr = newKeeper(keptFolder)
	return r
}

func (r *reloader) close() {
	if r.keeper != nil {
		r.keeper.close()
	}
}

// reload replaces the loaded copy of a file's module by the file. Whatever happens, it
// says in the end which copy is in the kernel.
func (r *reloader) reload(ctx context.Context, file string, params kmod.Params) *reloadResult {
	res := newReloadResult(file)
	plan, err := r.prepare(ctx, res, params)
	switch {
	case err != nil:
		res.set(refused, &kmod.Error{Op: "reload", Module: file, Err: bareCause(err)})
	case plan != nil:
		r.carryOut(ctx, res, plan)
	}
	for _, part := range res.parts() {
		r.session.explain(ctx, part)
	}
	res.conclude(plan)
	return res
}

// carryOut removes, loads, and where that does not work out puts back.
func (r *reloader) carryOut(ctx context.Context, res *reloadResult, plan *replacement) {
	late, cancel := lingering(ctx, interruptPatience)
	defer cancel()
	if plan.old != nil {
		res.Unload = r.unload(ctx, late, plan.file.Name)
		switch {
		case res.Unload.Result == confirmed, errors.Is(res.Unload.err, kmod.ErrNotLoaded): // somebody was faster
		case inKernel(plan.file.Name):
			return
		default: // it went, though nothing proves how
			r.putBack(ctx, res, plan)
			return
		}
	}
	if ctx.Err() != nil {
		res.Load = newResult("load", res.Target)
		res.Load.set(unconfirmed, &kmod.Error{Op: "load", Module: plan.file.Name, Err: errInterrupted})
	} else {
		res.Load = r.load(late, res.Target, plan.params.Params)
	}
	switch {
	case res.Load.Result == confirmed:
		r.keep(plan.file.Name, res.Target, absolute(res.Target), plan.params.Params)
	case plan.old != nil && !inKernel(plan.file.Name):
		r.putBack(ctx, res, plan)
	}
}

var errInterrupted = errors.New("not begun: interrupted")

func (r *reloader) unload(ctx, late context.Context, module string) *result {
	res := newResult("unload", module)
	res.add(module, r.session.attempt(late, tracer.Unload, func() error {
		return kmod.Unload(ctx, module, &kmod.UnloadOptions{Wait: r.wait})
	}))
	return res
}

func (r *reloader) load(ctx context.Context, file string, params kmod.Params) *result {
	res := newResult("load", file)
	steps, err := kmod.Plan(ctx, file, &kmod.LoadOptions{Params: params})
	if err != nil {
		res.set(refused, err)
		return res
	}
	loadSteps(ctx, r.session, res, steps)
	return res
}

// putBack loads what was kept of the old copy, also when nobody waits any more.
func (r *reloader) putBack(ctx context.Context, res *reloadResult, plan *replacement) {
	if plan.old.Content == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), putBackPatience)
	defer cancel()
	res.Restore = r.load(ctx, plan.old.path, plan.back.Params)
	if res.Restore.Result == confirmed {
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
