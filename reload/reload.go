package reload

import (
	"context"
	"errors"
	"time"

	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// How long the kernel may take when nobody waits for a reload any more. One that is
// stopped in between would leave nothing in the kernel; but an exit or an init that
// hangs is not to hold the caller for ever.
const (
	interruptPatience = 10 * time.Second
	putBackPatience   = 2 * time.Minute
)

// Options change what a Reloader does. Nil is the same as its zero value.
type Options struct {
	// Wait asks again while the old copy is in use, until the context ends.
	Wait bool
	// Fresh does not take the old copy's parameters over.
	Fresh bool
	// Unchecked takes the old copy out even if this kernel would refuse the file.
	Unchecked bool
	// Store is the directory of the [Store] of old copies; "" is [DefaultStore].
	Store string
	// LoadedFrom names the file from which a module was loaded, as a journal knows it, or
	// gives "". It is asked where the Store does not have the file. Nil knows none.
	LoadedFrom func(ctx context.Context, module string) (file string)
	// Kernel is what files are checked against, and may be that of the [proof.Session]. Nil
	// opens one.
	Kernel *kernel.Kernel
}

// Reloader reloads modules, one after another. It is for one goroutine at a time.
type Reloader struct {
	options  Options
	kernel   *kernel.Kernel
	store    *Store
	storeErr error // why nothing can be kept
}

// Open makes a Reloader. Where its Store cannot be opened, a reload goes without a way back,
// and [OldCopy.Why] says so.
func Open(opts *Options) (*Reloader, error) {
	if opts == nil {
		opts = &Options{}
	}
	k := opts.Kernel
	if k == nil {
		var err error
		if k, err = kernel.Open(nil); err != nil {
			return nil, err
		}
	}
	r := &Reloader{options: *opts, kernel: k}
	r.store, r.storeErr = OpenStore(opts.Store)
	return r, nil
}

// Close closes the Store. Calling it again does nothing.
func (r *Reloader) Close() error {
	if r.store == nil {
		return nil
	}
	return r.store.Close()
}

// Reload replaces the loaded copy of a file's module by the file: [Reloader.Plan], then
// [Reloader.Do]. A module that is not loaded is just loaded.
func (r *Reloader) Reload(ctx context.Context, s *proof.Session, file string, params kmod.Params) (*Result, error) {
	plan, err := r.Plan(ctx, file, params)
	if err != nil {
		return plan.Result, err
	}
	return r.Do(ctx, s, plan)
}

// Do carries out a Plan, once. When the context ends in between, the old copy is put back
// first, and the result is explained. What the kernel has begun goes on; it then has ten
// seconds to answer.
//
// The Result is never nil. The error is nil only if the new copy is in the kernel, confirmed.
func (r *Reloader) Do(ctx context.Context, s *proof.Session, plan *Plan) (*Result, error) {
	res := plan.Result
	if plan.file == nil {
		return res, res.Err() // refused already
	}
	r.replace(ctx, s, res, plan)
	for _, step := range res.Steps() {
		// What became of it is known: the reason is looked for even if nobody waits any more.
		s.Explain(context.WithoutCancel(ctx), step)
	}
	res.conclude(plan)
	return res, res.Err()
}

// replace removes, loads, and where that does not work out puts back.
func (r *Reloader) replace(ctx context.Context, s *proof.Session, res *Result, plan *Plan) {
	late, cancel := lingering(ctx, interruptPatience)
	defer cancel()
	module := plan.file.Name
	if plan.old != nil {
		var err error
		res.Unload, err = s.Call(late, tracer.Unload, module, func() error { // ctx ends the asking, late the waiting
			return kmod.Unload(ctx, module, &kmod.UnloadOptions{Wait: r.options.Wait})
		})
		switch {
		case err == nil, errors.Is(err, kmod.ErrNotLoaded): // somebody was faster
		case inKernel(module):
			return
		default: // it went, though nothing proves how
			r.putBack(ctx, s, res, plan)
			return
		}
	}
	var err error
	if ctx.Err() != nil {
		err = &kmod.Error{Op: "load", Module: module, Err: proof.ErrInterrupted}
		res.Load = proof.NewResult(tracer.Load, res.Target, proof.Unconfirmed, err)
	} else {
		res.Load, err = s.Load(late, res.Target, &kmod.LoadOptions{Params: plan.params.Params})
	}
	switch {
	case err == nil:
		r.keep(module, res.Target, absolute(res.Target), plan.params.Params)
	case plan.old != nil && !inKernel(module):
		r.putBack(ctx, s, res, plan)
	}
}

// putBack loads what was kept of the old copy, also when nobody waits any more.
func (r *Reloader) putBack(ctx context.Context, s *proof.Session, res *Result, plan *Plan) {
	if plan.old.Content == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), putBackPatience)
	defer cancel()
	var err error
	if res.Restore, err = s.Load(ctx, plan.old.path, &kmod.LoadOptions{Params: plan.back.Params}); err == nil {
		r.keep(plan.file.Name, plan.old.path, plan.old.File, plan.back.Params)
	}
}

// keep keeps what is in the kernel now, from a path. If that is no longer what is there,
// the next reload has no way back, and says so.
func (r *Reloader) keep(module, path, file string, params kmod.Params) {
	if r.store != nil {
		_ = r.store.keepFile(module, path, file, params.String())
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
