// Package attach loads BPF programs and attaches them to the kernel, each for itself or, by
// probes that share an event, many together. It knows ways to attach and what keeps the
// kernel from each; what the programs tell, and what it means that one is not attached, is
// known by its caller.
package attach

import "slices"

// Type is where in a kernel function a hook is attached, and so which programs can be
// attached there.
type Type uint8

// The types.
const (
	Entry       Type = iota // fentry or kprobe
	Exit                    // fexit or kretprobe
	Probe                   // kprobe in every mode
	ProbeReturn             // kretprobe in every mode
	Tracepoint              // raw tracepoint in every mode
)

// Hook is one program that is attached to one function of the kernel, or the best of two.
type Hook struct {
	// Name, behind the way to attach and an underscore, is the name of a program.
	Name string
	Type Type
	// Backups names hooks of the type [Probe] that report the same: where all are
	// attached, what this one misses is not missing.
	Backups []string
	// InsteadOf names hooks that stand before this one: where all are attached, this one
	// is not.
	InsteadOf []string
}

// Programs gives the names of the programs that can serve the hook, best first, with
// trampolines or without.
func (h Hook) Programs(trampolines bool) []string {
	switch {
	case h.Type == Tracepoint:
		return []string{"tracepoint_" + h.Name}
	case h.Type == Probe, h.Type == Entry && !trampolines:
		return []string{"kprobe_" + h.Name}
	case h.Type == ProbeReturn:
		return []string{"kretprobe_" + h.Name}
	case h.Type == Entry:
		return []string{"fentry_" + h.Name, "kprobe_" + h.Name}
	case !trampolines:
		return []string{"kretprobe_" + h.Name}
	default:
		return []string{"fexit_" + h.Name, "kretprobe_" + h.Name}
	}
}

// unneeded tells whether all that it is instead of are attached.
func (h Hook) unneeded(attached map[string]bool) bool {
	return len(h.InsteadOf) > 0 && !slices.ContainsFunc(h.InsteadOf, func(name string) bool { return !attached[name] })
}

// Status is what became of one hook.
type Status struct {
	// Target is the kernel function or tracepoint, How the way it is hooked:
	// fentry, fexit, kprobe, kretprobe or tracepoint.
	Target, How string
	Attached    bool
	// Unneeded says that it was not to be attached, because those are that it is instead of.
	Unneeded bool
	// Absent says that this kernel has no such function.
	Absent bool
	// Why is what the kernel said to the ways that did not work, also where a
	// lesser one did.
	Why string
}
