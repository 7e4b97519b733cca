package proof

import "errors"

// Verdict is what a load or an unload came to.
type Verdict string

// The verdicts. A system call's answer without the events that prove it is not
// taken for done.
const (
	Confirmed    Verdict = "confirmed"    // answered with success, and proven by events
	Refused      Verdict = "refused"      // answered with an error
	Unconfirmed  Verdict = "unconfirmed"  // answered with success or not at all, and not proven
	Contradicted Verdict = "contradicted" // the events say otherwise than the answer
)

// Known tells whether the verdict says what became of the target.
func (v Verdict) Known() bool { return v == Confirmed || v == Refused }

// Sentinels: the verdicts but [Confirmed], reached with [errors.Is].
var (
	ErrRefused      = errors.New("refused")
	ErrUnconfirmed  = errors.New("unconfirmed")
	ErrContradicted = errors.New("contradicted by the kernel's events")
)

// ErrInterrupted: it was interrupted before the kernel was asked.
var ErrInterrupted = errors.New("not begun: interrupted")

// Error is the error of a load or an unload that is not confirmed. It matches the sentinel
// of its verdict. Err is the reason, in which a sentinel of package kmod or an errno of the
// kernel may be.
type Error struct {
	Verdict Verdict
	Err     error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap gives the reason.
func (e *Error) Unwrap() error { return e.Err }

// Is tells whether the target is the sentinel of the verdict.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrRefused:
		return e.Verdict == Refused
	case ErrUnconfirmed:
		return e.Verdict == Unconfirmed
	case ErrContradicted:
		return e.Verdict == Contradicted
	}
	return false
}
