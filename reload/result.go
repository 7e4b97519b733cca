package reload

import (
	"errors"
	"fmt"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/tracer"
	"golang.org/x/sys/unix"
)

// Down is a verdict on a reload alone: the old copy was taken out, and neither copy
// is at work now.
const Down proof.Verdict = "down"

// ErrDown is the sentinel of [Down], as [proof.ErrRefused] is that of [proof.Refused].
var ErrDown = errors.New("neither copy is at work")

// downError is the error of a reload that is down. The error of the step that decided is in it.
type downError struct{ error }

func (e *downError) Unwrap() error { return e.error }

func (e *downError) Is(target error) bool { return target == ErrDown }

// Result is what came of a reload: the steps that were taken, each with its own
// verdict and events, and what is in the kernel in the end. As JSON it is what
// docs/schema/reload.schema.json describes.
type Result struct {
	Command string        `json:"command"`          // reload
	Target  string        `json:"target"`           // the file, as given
	Module  string        `json:"module,omitempty"` // as the kernel calls it
	Verdict proof.Verdict `json:"result"`
	// Errno, Reason and Cause are of the step that decided.
	Errno     unix.Errno   `json:"errno,omitempty"`
	ErrnoName string       `json:"errno_name,omitempty"`
	Reason    string       `json:"reason,omitempty"`
	Cause     *cause.Cause `json:"cause,omitempty"`

	Before *OldCopy `json:"before,omitempty"` // nil where nothing was loaded
	After  After    `json:"after"`
	Params *Params  `json:"params,omitempty"`

	Check   *cause.Verdict `json:"check,omitempty"`  // that kept it from being begun
	Unload  *proof.Result  `json:"unload,omitempty"` // of the old copy
	Load    *proof.Result  `json:"load,omitempty"`   // of the new one
	Restore *proof.Result  `json:"restore,omitempty"`

	err error
}

// After is what is in the kernel after it.
type After struct {
	Copy       Copy   `json:"copy"`
	BuildID    string `json:"build_id,omitempty"`
	SrcVersion string `json:"src_version,omitempty"`
}

// Copy says which copy of a module is in the kernel.
type Copy string

// The copies.
const (
	CopyNew        Copy = "new"
	CopyUntouched  Copy = "untouched"  // whatever was there, as it was
	CopyBack       Copy = "back"       // the old one, loaded again
	CopyNone       Copy = "none"       // nothing of that name
	CopyUnfinished Copy = "unfinished" // one on its way in or out, perhaps for ever
	CopyOther      Copy = "other"      // one that somebody else loaded
)

// String gives a sentence.
func (c Copy) String() string {
	return map[Copy]string{
		CopyNew: "the new copy is in the kernel", CopyUntouched: "nothing was touched",
		CopyBack: "the old copy is back", CopyNone: "nothing is loaded",
		CopyUnfinished: "the kernel is not done with it", CopyOther: "a copy is in the kernel that somebody else loaded",
	}[c]
}

func newResult(file string) *Result {
	return &Result{Command: "reload", Target: file, Verdict: proof.Confirmed}
}

// Steps are the steps that were taken, in order.
func (r *Result) Steps() []*proof.Result {
	var taken []*proof.Result
	for _, step := range []*proof.Result{r.Unload, r.Load, r.Restore} {
		if step != nil {
			taken = append(taken, step)
		}
	}
	return taken
}

// Decisive is the step that says what came of the reload: the last but a return.
func (r *Result) Decisive() *proof.Result {
	if r.Load != nil {
		return r.Load
	}
	return r.Unload
}

// Err says why the new copy is not in the kernel, confirmed; nil if it is.
func (r *Result) Err() error {
	switch {
	case r.Verdict == proof.Confirmed:
		return nil
	case r.err != nil:
		return r.err
	case r.Verdict == Down: // decoded, as below
		return &downError{errors.New(r.Reason)}
	}
	return &proof.Error{Verdict: r.Verdict, Err: errors.New(r.Reason)}
}

func (r *Result) set(v proof.Verdict, why error) {
	r.Verdict, r.err = v, why
	var known *proof.Error
	if why != nil && !errors.As(why, &known) {
		r.err = &proof.Error{Verdict: v, Err: why}
	}
	if v == proof.Refused && errors.As(why, &r.Errno) {
		r.ErrnoName = tracer.ErrnoName(r.Errno)
	}
}

func (r *Result) setCause(v *cause.Verdict) {
	if v != nil {
		r.Cause = v.Cause
	}
}

// conclude says what came of it all, once the steps are explained.
func (r *Result) conclude(plan *Plan) {
	if d := r.Decisive(); d != nil {
		r.set(d.Verdict, d.Err())
		r.Cause = d.Cause
	}
	r.finish(r.look(plan))
}

// finish takes what is in the kernel into the verdict.
func (r *Result) finish(after After) {
	if r.After = after; r.err == nil {
		return
	}
	reason := r.err
	if r.isDown() {
		r.Verdict = Down
		reason = &downError{r.err}
	}
	r.err = fmt.Errorf("%w; %s", reason, r.outlook())
	r.Reason = r.err.Error()
}

// isDown: the old copy was there, and nothing took its place.
func (r *Result) isDown() bool {
	if r.Before == nil {
		return false
	}
	return r.After.Copy == CopyNone || r.After.Copy == CopyUnfinished && r.Verdict == proof.Refused
}

// look finds out which copy is in the kernel.
func (r *Result) look(plan *Plan) After {
	if r.Module == "" { // the file does not say which it would have been
		return After{Copy: CopyUntouched}
	}
	now, err := kmod.Look(r.Module, nil)
	if err != nil {
		return After{Copy: CopyNone}
	}
	after := After{CopyOther, now.BuildID, now.SrcVersion}
	switch {
	case r.Before != nil && now.Instance == r.Before.loaded.Instance && now.State == r.Before.loaded.State:
		after.Copy = CopyUntouched
	case now.State != "live":
		after.Copy = CopyUnfinished
	case r.Restore != nil && r.Restore.Verdict == proof.Confirmed:
		after.Copy = CopyBack
	case r.Load != nil && r.Load.Verdict != proof.Refused && plan != nil && plan.file.Identity() == now.Identity:
		after.Copy = CopyNew
	}
	return after
}

// outlook ends the reason: what is in the kernel, and why it is no better.
func (r *Result) outlook() string {
	text := r.After.Copy.String()
	switch {
	case r.Verdict != Down:
		return text
	case r.After.Copy == CopyUnfinished:
		return text + ", and it cannot be replaced until reboot"
	case r.Restore != nil && r.Restore.Err() != nil:
		return text + ", for the old copy could not be put back: " + r.Restore.Err().Error()
	case r.Before.Content == "":
		return text + ", for there was no way back: " + r.Before.Why
	}
	return text
}
