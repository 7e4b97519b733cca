package proof

import (
	"context"
	"errors"

	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// Options change how [Open] makes a Session. Nil is the same as its zero value.
type Options struct {
	// Tracer is read for the kernel's events, and stays open when the Session is closed.
	// Nobody else may read it meanwhile. Nil opens one.
	Tracer *tracer.Tracer
	// Backend is how a tracer that Open opens hooks the kernel.
	Backend tracer.Backend
	// Kernel is where causes are looked up. What it has read of the running kernel is not read
	// again. Nil opens one.
	Kernel *kernel.Kernel
}

// Session makes module calls and collects the kernel's events of them. It is for one
// goroutine at a time.
type Session struct {
	tracer    *tracer.Tracer
	owned     bool // the tracer is closed with the Session
	collector *collector
	kernel    *kernel.Kernel
	inquiry   *record.Inquiry
}

// ErrClosed: the Session is closed, and nothing was asked of the kernel.
var ErrClosed = errors.New("the session is closed")

// Open attaches a tracer, unless it is given one. Where tracing is not possible it gives the
// error of [tracer.Open].
func Open(opts *Options) (_ *Session, err error) {
	if opts == nil {
		opts = &Options{}
	}
	s := &Session{tracer: opts.Tracer, kernel: opts.Kernel}
	if s.kernel == nil {
		if s.kernel, err = kernel.Open(nil); err != nil {
			return nil, err
		}
	}
	if s.tracer == nil {
		if s.tracer, err = tracer.Open(&tracer.Options{Backend: opts.Backend}); err != nil {
			return nil, err
		}
		s.owned = true
	}
	s.inquiry = record.NewPatientInquiry(s.kernel, false)
	s.collector = newCollector(s.tracer.Actions)
	return s, nil
}

// Close ends the reading of events, and closes a tracer that Open opened. What the kernel
// has begun goes on. Calling it again does nothing.
func (s *Session) Close() error {
	if s.collector == nil {
		return nil
	}
	s.collector.close()
	s.collector = nil
	if s.owned {
		return s.tracer.Close()
	}
	return nil
}

// Kernel gives the facts about this kernel that causes are looked up in.
func (s *Session) Kernel() *kernel.Kernel { return s.kernel }

// Tracer gives the tracer that is read, for its coverage and its losses.
func (s *Session) Tracer() *tracer.Tracer { return s.tracer }

// Load loads a file, or a name with its dependencies in order, as [kmod.Load] does. The
// first step that is not confirmed is the last; what was loaded before that stays. A soft
// dependency that is refused is passed over.
//
// The error is nil only if the load is confirmed.
func (s *Session) Load(ctx context.Context, target string, opts *kmod.LoadOptions) (*Result, error) {
	steps, err := kmod.Plan(ctx, target, opts)
	if err != nil {
		r := NewResult(tracer.Load, target, Refused, err)
		return r, r.Err()
	}
	return s.LoadSteps(ctx, target, steps)
}

// LoadSteps is [Session.Load] for steps that [kmod.Plan] gave for the target.
func (s *Session) LoadSteps(ctx context.Context, target string, steps []kmod.Step) (*Result, error) {
	r := NewResult(tracer.Load, target, Confirmed, nil)
	s.take(ctx, r, steps)
	return r, r.Err()
}

func (s *Session) take(ctx context.Context, r *Result, steps []kmod.Step) {
	for i := range steps {
		step := &steps[i]
		if err := ctx.Err(); err != nil {
			r.set(Unconfirmed, &kmod.Error{Op: r.Command, Module: step.Module, Err: err})
			return
		}
		r.begin(!step.Target)
		if step.Kind != kmod.StepLoad {
			if err := step.Do(); err != nil && !step.Soft {
				r.set(Refused, err)
				return
			}
			continue
		}
		r.add(step.Module, s.call(ctx, tracer.Load, step.Do))
		if r.Verdict == Refused && step.Soft {
			r.set(Confirmed, nil)
		} else if r.Verdict != Confirmed {
			return
		}
	}
}

// Unload takes a module out of the kernel, as [kmod.Unload] does. With
// [kmod.UnloadOptions.Wait] the Result has an action for each time that the kernel was asked.
//
// The error is nil only if the unload is confirmed.
func (s *Session) Unload(ctx context.Context, name string, opts *kmod.UnloadOptions) (*Result, error) {
	return s.Call(ctx, tracer.Unload, name, func() error { return kmod.Unload(ctx, name, opts) })
}

// Call proves a load or an unload that do makes, for callers who need more than
// [Session.Load] and [Session.Unload]. It runs do in the Session's thread, where each system
// call for the module must be made, and takes its error for the kernel's answer. The context
// bounds how long it waits for that.
func (s *Session) Call(ctx context.Context, kind tracer.ActionKind, name string, do func() error) (*Result, error) {
	r := NewResult(kind, name, Confirmed, nil)
	module, err := kmod.NormalName(name)
	if err != nil {
		r.set(Refused, &kmod.Error{Op: r.Command, Module: name, Err: err})
		return r, r.Err()
	}
	r.add(module, s.call(ctx, kind, do))
	return r, r.Err()
}

// call makes one call, after which the next can be made: one without a verdict has ended
// the reading while its thread is still in the kernel, and one that crashed has taken the
// thread with it.
func (s *Session) call(ctx context.Context, kind tracer.ActionKind, do func() error) *call {
	if s.collector == nil {
		return &call{kind: kind, answered: true, err: ErrClosed}
	}
	c := s.collector.call(ctx, kind, do)
	if !c.settled() || c.crashed() {
		s.collector.close()
		s.collector = newCollector(s.tracer.Actions)
	}
	return c
}

// Explain adds to a Result why it is not confirmed, and where the files of its loads come
// from. A context that ends leaves out what is not known by then.
func (s *Session) Explain(ctx context.Context, r *Result) { r.explain(ctx, s.kernel, s.inquiry) }
