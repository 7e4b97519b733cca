package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/kmodtrace/kmodtrace/account"
	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/tracer"
	"golang.org/x/sys/unix"
)

// verdict is what a load or an unload by this command came to.
type verdict string

// The verdicts. A system call's answer without the events that prove it is not
// taken for done.
const (
	confirmed    verdict = "confirmed"    // answered with yes, and proven by events
	refused      verdict = "refused"      // answered with no
	unconfirmed  verdict = "unconfirmed"  // answered with yes or not at all, and not proven
	contradicted verdict = "contradicted" // the events say otherwise than the answer
)

// result is the record of one target of load or unload.
type result struct {
	Command string  `json:"command"` // load or unload
	Target  string  `json:"target"`  // as given
	Result  verdict `json:"result"`
	// Errno is the kernel's refusal; zero if there was none. ErrnoName spells it.
	Errno     unix.Errno `json:"errno,omitempty"`
	ErrnoName string     `json:"errno_name,omitempty"`
	// Reason says why it is not confirmed.
	Reason string `json:"reason,omitempty"`
	// Cause is why it was refused: that of the last action, or why there was none.
	Cause *cause.Cause `json:"cause,omitempty"`
	// Actions are what the kernel did for it, in the order of their ends.
	Actions []account.Account `json:"actions"`

	err error
}

func newResult(command, target string) *result {
	return &result{Command: command, Target: target, Result: confirmed, Actions: []account.Account{}}
}

// add takes an attempt's actions, and its verdict, which the last one decides.
func (r *result) add(module string, a *attempt) verdict {
	for _, action := range a.actions {
		r.Actions = append(r.Actions, account.Account{Explained: cause.Explained{Action: action}})
	}
	v, why := a.verdict()
	var named *kmod.Error
	if why != nil && !errors.As(why, &named) {
		why = fmt.Errorf("%s %s: %w", r.Command, shortText(module), why)
	}
	r.set(v, why)
	return v
}

func (r *result) set(v verdict, why error) {
	r.Result, r.err, r.Errno, r.ErrnoName, r.Reason = v, why, 0, "", ""
	if why == nil {
		return
	}
	r.Reason = why.Error()
	if v == refused && errors.As(why, &r.Errno) {
		r.ErrnoName = tracer.ErrnoName(r.Errno)
	}
}

// explain adds the causes, and where the files come from.
func (r *result) explain(ctx context.Context, k *kernel.Kernel, q *account.Inquiry) {
	explained := make([]cause.Explained, len(r.Actions))
	for i := range r.Actions {
		r.Actions[i] = q.All(ctx, &r.Actions[i].Action)
		explained[i] = r.Actions[i].Explained
	}
	switch {
	case r.Result != refused && len(r.Actions) > 0:
		r.Cause = r.Actions[len(r.Actions)-1].Cause // of what has not ended
	case r.Result == refused:
		r.Cause = cause.OfAttempt(ctx, k, r.Target, r.err, explained)
	}
}

// told tells whether the actions tell the cause already.
func (r *result) told() bool {
	return len(r.Actions) > 0 && r.Actions[len(r.Actions)-1].Cause == r.Cause
}

// sure tells whether the verdict says what became of the target.
func (v verdict) sure() bool { return v == confirmed || v == refused }

// failure gives the command's error for it; nil when it is confirmed.
func (r *result) failure() error {
	return r.Result.failure(r.err, r.hint)
}

// failure gives the command's error for a verdict that has a reason.
func (v verdict) failure(why error, hint func() string) error {
	if why == nil {
		return nil
	}
	status := exitUnconfirmed
	if v == refused {
		status = exitRefused
	}
	return &exitError{status: status, err: oneLineError{why}, hint: hint()}
}

// hint says what to do next about a refusal.
func (r *result) hint() string {
	var named *kmod.Error
	switch {
	case r.Result == unconfirmed, r.Result == contradicted:
		return "kmodtrace list shows what is loaded now"
	case errors.Is(r.err, kmod.ErrLoaded) && errors.As(r.err, &named):
		return "take it out first: kmodtrace unload " + shortText(named.Module)
	case errors.Is(r.err, kmod.ErrInUse):
		return "--wait asks again until its last user is gone"
	case r.Cause != nil:
		return "kmodtrace explain " + string(r.Cause.Code) + " says more"
	}
	return ""
}
