package main

import (
	"errors"
	"fmt"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/tracer"
	"golang.org/x/sys/unix"
)

// down is a verdict on a reload alone: the old copy was taken out, and neither copy
// is at work now.
const down proof.Verdict = "down"

// errDown is the sentinel of that verdict.
var errDown = errors.New("neither copy is at work")

// downError is the error of a reload that is down. The error of the step that decided is in it.
type downError struct{ error }

func (e *downError) Unwrap() error { return e.error }

func (e *downError) Is(target error) bool { return target == errDown }

// reloadResult is the record of a reload: the steps that were taken, each with its own
// verdict and events, and what is in the kernel in the end.
type reloadResult struct {
	Command string        `json:"command"`          // reload
	Target  string        `json:"target"`           // the file, as given
	Module  string        `json:"module,omitempty"` // as the kernel calls it
	Verdict proof.Verdict `json:"result"`
	// Errno, Reason and Cause are of the step that decided.
	Errno     unix.Errno   `json:"errno,omitempty"`
	ErrnoName string       `json:"errno_name,omitempty"`
	Reason    string       `json:"reason,omitempty"`
	Cause     *cause.Cause `json:"cause,omitempty"`

	Before *oldCopy     `json:"before,omitempty"` // nil where nothing was loaded
	After  newCopy      `json:"after"`
	Params *takenParams `json:"params,omitempty"`

	Check   *cause.Verdict `json:"check,omitempty"`  // that kept it from being begun
	Unload  *proof.Result  `json:"unload,omitempty"` // of the old copy
	Load    *proof.Result  `json:"load,omitempty"`   // of the new one
	Restore *proof.Result  `json:"restore,omitempty"`

	err error
}

// newCopy is what is in the kernel after it.
type newCopy struct {
	Copy       whichCopy `json:"copy"`
	BuildID    string    `json:"build_id,omitempty"`
	SrcVersion string    `json:"src_version,omitempty"`
}

type whichCopy string

const (
	copyNew        whichCopy = "new"
	copyUntouched  whichCopy = "untouched"  // whatever was there, as it was
	copyBack       whichCopy = "back"       // the old one, loaded again
	copyNone       whichCopy = "none"       // nothing of that name
	copyUnfinished whichCopy = "unfinished" // one on its way in or out, perhaps for ever
	copyOther      whichCopy = "other"      // one that somebody else loaded
)

func (c whichCopy) String() string {
	return map[whichCopy]string{
		copyNew: "the new copy is in the kernel", copyUntouched: "nothing was touched",
		copyBack: "the old copy is back", copyNone: "nothing is loaded",
		copyUnfinished: "the kernel is not done with it", copyOther: "a copy is in the kernel that somebody else loaded",
	}[c]
}

func newReloadResult(file string) *reloadResult {
	return &reloadResult{Command: "reload", Target: file, Verdict: proof.Confirmed}
}

// parts are the steps that were taken, in order.
func (r *reloadResult) parts() []*proof.Result {
	var parts []*proof.Result
	for _, part := range []*proof.Result{r.Unload, r.Load, r.Restore} {
		if part != nil {
			parts = append(parts, part)
		}
	}
	return parts
}

// decisive is the step that says what came of the reload: the last but a return.
func (r *reloadResult) decisive() *proof.Result {
	if r.Load != nil {
		return r.Load
	}
	return r.Unload
}

func (r *reloadResult) set(v proof.Verdict, why error) {
	r.Verdict, r.err = v, nil
	if why != nil {
		r.err = &proof.Error{Verdict: v, Err: why}
	}
	if v == proof.Refused && errors.As(why, &r.Errno) {
		r.ErrnoName = tracer.ErrnoName(r.Errno)
	}
}

func (r *reloadResult) setCause(v *cause.Verdict) {
	if v != nil {
		r.Cause = v.Cause
	}
}

// conclude says what came of it all, once the steps are explained.
func (r *reloadResult) conclude(plan *replacement) {
	if d := r.decisive(); d != nil {
		r.set(d.Verdict, d.Err())
		r.Cause = d.Cause
	}
	r.finish(r.look(plan))
}

// finish takes what is in the kernel into the verdict.
func (r *reloadResult) finish(after newCopy) {
	if r.After = after; r.err == nil {
		return
	}
	reason := r.err
	if r.isDown() {
		r.Verdict = down
		reason = &downError{r.err}
	}
	r.err = fmt.Errorf("%w; %s", reason, r.outlook())
	r.Reason = r.err.Error()
}

// isDown: the old copy was there, and nothing took its place.
func (r *reloadResult) isDown() bool {
	if r.Before == nil {
		return false
	}
	return r.After.Copy == copyNone || r.After.Copy == copyUnfinished && r.Verdict == proof.Refused
}

// look finds out which copy is in the kernel.
func (r *reloadResult) look(plan *replacement) newCopy {
	if r.Module == "" { // the file does not say which it would have been
		return newCopy{Copy: copyUntouched}
	}
	now, err := kmod.Look(r.Module, nil)
	if err != nil {
		return newCopy{Copy: copyNone}
	}
	after := newCopy{copyOther, now.BuildID, now.SrcVersion}
	switch {
	case r.Before != nil && now.Instance == r.Before.loaded.Instance && now.State == r.Before.loaded.State:
		after.Copy = copyUntouched
	case now.State != "live":
		after.Copy = copyUnfinished
	case r.Restore != nil && r.Restore.Verdict == proof.Confirmed:
		after.Copy = copyBack
	case r.Load != nil && r.Load.Verdict != proof.Refused && plan != nil && plan.file.Identity() == now.Identity:
		after.Copy = copyNew
	}
	return after
}

// outlook ends the reason: what is in the kernel, and why it is no better.
func (r *reloadResult) outlook() string {
	text := r.After.Copy.String()
	switch {
	case r.Verdict != down:
		return text
	case r.After.Copy == copyUnfinished:
		return text + ", and it cannot be replaced until reboot"
	case r.Restore != nil && r.Restore.Err() != nil:
		return text + ", for the old copy could not be put back: " + r.Restore.Err().Error()
	case r.Before.Content == "":
		return text + ", for there was no way back: " + r.Before.Why
	}
	return text
}

// failure gives the command's error for it; nil when it is confirmed.
func (r *reloadResult) failure() error {
	return failure(r.err, r.hint())
}

// hint says what to do next.
func (r *reloadResult) hint() string {
	switch {
	case r.Check != nil:
		return "kmodtrace check says more; --unchecked asks the kernel all the same"
	case r.decisive() != nil:
		return resultHint(r.decisive())
	}
	return ""
}
