package proof

import (
	"context"
	"errors"

	"github.com/kmodtrace/kmodtrace/calls"
	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
	"golang.org/x/sys/unix"
)

// Result is what came of a load or an unload. As JSON it is what
// docs/schema/result.schema.json describes; decoded again it is the same, but for the
// identity of what [Result.Err] wraps.
type Result struct {
	Command string  `json:"command"` // load or unload
	Target  string  `json:"target"`  // as given
	Verdict Verdict `json:"result"`
	// Errno is the kernel's refusal; zero if there was none. ErrnoName spells it.
	Errno     unix.Errno `json:"errno,omitempty"`
	ErrnoName string     `json:"errno_name,omitempty"`
	// Reason says why it is not confirmed.
	Reason string `json:"reason,omitempty"`
	// Cause is why it was refused: that of the last action, or why there was none. Nil before
	// [Session.Explain].
	Cause *cause.Cause `json:"cause,omitempty"`
	// Actions are what the kernel did for it, in the order of their ends.
	Actions []record.Record `json:"actions"`
	// Calls are those inside the module's init or exit, where they were probed.
	Calls *calls.Report `json:"calls,omitempty"`

	err error // the reason
	// last is the first of the Actions of the last step; dependency tells that this
	// step was not what was asked for.
	last       int
	dependency bool
}

// NewResult gives the Result of a load or an unload that no Session was asked for, because
// it was known before what would come of it. The error is nil for [Confirmed] alone.
func NewResult(kind tracer.ActionKind, target string, v Verdict, err error) *Result {
	r := &Result{Command: kind.String(), Target: target, Actions: []record.Record{}}
	r.set(v, err)
	return r
}

// Err says why it is not confirmed, as an [*Error]; nil if it is.
func (r *Result) Err() error {
	switch {
	case r.Verdict == Confirmed:
		return nil
	case r.err == nil: // decoded
		return &Error{r.Verdict, errors.New(r.Reason)}
	}
	return &Error{r.Verdict, r.err}
}

// begin begins a step: what comes from here on is of it.
func (r *Result) begin(dependency bool) { r.last, r.dependency = len(r.Actions), dependency }

// add takes what was seen of a call, and its verdict: the last one's is the Result's.
func (r *Result) add(module string, c *call) {
	for i := range c.actions {
		r.Actions = append(r.Actions, record.New(&c.actions[i]))
	}
	v, why := c.verdict()
	var named *kmod.Error
	if why != nil && !errors.As(why, &named) {
		why = &kmod.Error{Op: r.Command, Module: module, Err: why}
	}
	r.set(v, why)
}

func (r *Result) set(v Verdict, why error) {
	r.Verdict, r.err, r.Errno, r.ErrnoName, r.Reason = v, why, 0, "", ""
	if why == nil {
		return
	}
	r.Reason = why.Error()
	if v == Refused && errors.As(why, &r.Errno) {
		r.ErrnoName = tracer.ErrnoName(r.Errno)
	}
}

// causedError says why by the cause, which comes from what the kernel was seen to do. The errno
// alone can stand for something else, and stays reachable.
type causedError struct {
	command, target string
	cause           *cause.Cause
	err             error
}

func (e *causedError) Error() string {
	if e.cause.Code == cause.Unknown { // then the answer is all there is
		return e.err.Error()
	}
	why := e.cause.String()
	if errors.Is(e.err, context.DeadlineExceeded) || errors.Is(e.err, context.Canceled) {
		why += " (stopped waiting)"
	}
	return (&kmod.Error{Op: e.command, Module: e.target, Err: errors.New(why)}).Error()
}

// Unwrap gives the answer.
func (e *causedError) Unwrap() error { return e.err }

// ExplainRefusal adds the cause of a load that was refused before the kernel was asked,
// where there is no Session: see [NewResult].
func (r *Result) ExplainRefusal(ctx context.Context, k *kernel.Kernel) { r.explain(ctx, k, nil) }

func (r *Result) explain(ctx context.Context, k *kernel.Kernel, q *record.Inquiry) {
	var failures []cause.Failure
	for i := range r.Actions {
		r.Actions[i] = q.All(ctx, &r.Actions[i].Action)
		if r.Calls != nil && r.Calls.Module == r.Actions[i].Module {
			NameCall(r.Actions[i].Cause, r.Calls)
		}
		if a := &r.Actions[i]; a.Cause != nil && i >= r.last {
			failures = append(failures, cause.Failure{Kind: a.Kind, Module: a.Module, Cause: a.Cause, Dependency: r.dependency})
		}
	}
	switch {
	case r.Verdict != Refused && len(r.Actions) > 0:
		r.Cause = r.Actions[len(r.Actions)-1].Cause // of what has not ended
	case r.Verdict == Refused:
		r.Cause = cause.OfAttempt(ctx, k, r.Target, r.err, failures)
		if len(r.Actions) > 0 || !kmod.IsFile(r.Target) { // why a file cannot be read, the error says best
			r.err = &causedError{r.Command, r.Target, r.Cause, r.err}
			r.Reason = r.err.Error()
		}
	}
}
