package tracer

import (
	"fmt"

	"github.com/kmodtrace/kmodtrace/tracer/internal/attach"
)

// Coverage says what a [Tracer] can see: which hooks are attached, which are
// not, and why.
type Coverage struct {
	Backend Backend `json:"backend"`
	// WhyKprobe tells why Auto did not take Fentry where it would have.
	WhyKprobe string       `json:"why_kprobe,omitempty"`
	Hooks     []HookStatus `json:"hooks"`
}

// HookStatus is what became of one hook.
type HookStatus struct {
	// Target is the kernel function or tracepoint, How the way it is hooked:
	// fentry, fexit, kprobe, kretprobe or tracepoint.
	Target string `json:"target"`
	How    string `json:"how"`
	Need   Need   `json:"need"`
	// Tells is what is lost without it.
	Tells    string `json:"tells"`
	Attached bool   `json:"attached"`
	// Absent says that this kernel has no such function.
	Absent bool `json:"absent,omitempty"`
	// Why is what the kernel said to the ways that did not work, also where a
	// lesser one did.
	Why string `json:"why,omitempty"`
}

// status is what became of it.
func (h hook) status(s attach.Status) HookStatus {
	return HookStatus{
		Target: s.Target, How: s.How, Need: h.need, Tells: h.tells,
		Attached: s.Attached, Absent: s.Absent, Why: s.Why,
	}
}

// missing tells whether tracing cannot do without what is not there.
func (h HookStatus) missing() bool {
	if h.Attached || h.Need == Optional {
		return false
	}
	return h.Need == Required || !h.Absent
}

// Missing returns the required hooks that are not attached. A Tracer has none.
func (c Coverage) Missing() []HookStatus {
	return c.filter(HookStatus.missing)
}

// Degraded returns the hooks that are not attached, though the tracing works
// without them.
func (c Coverage) Degraded() []HookStatus {
	return c.filter(func(h HookStatus) bool {
		return !h.Attached && !h.missing() && (h.Need != WherePresent || !h.Absent)
	})
}

func (c Coverage) filter(keep func(HookStatus) bool) []HookStatus {
	var kept []HookStatus
	for _, h := range c.Hooks {
		if keep(h) {
			kept = append(kept, h)
		}
	}
	return kept
}

// CoverageError is the error of [Open] when required hooks could not be
// attached. Nothing is left attached then.
type CoverageError struct{ Coverage Coverage }

func (e *CoverageError) Error() string {
	missing := e.Coverage.Missing()
	if len(missing) == 0 {
		return "attach: no hook is missing"
	}
	what := missing[0].How + " " + missing[0].Target
	if others := len(missing) - 1; others > 0 {
		what = fmt.Sprintf("%s and %d more", what, others)
	}
	return fmt.Sprintf("attach: %s: %s", what, missing[0].reason())
}

func (h HookStatus) reason() string {
	if h.Absent {
		return "this kernel has no such function"
	}
	return h.Why
}
