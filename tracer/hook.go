package tracer

import "strings"

// Need says what the absence of a hook means.
type Need uint8

//go:generate go tool stringer -type=Need,Backend -linecomment -output=hook_string.go

// The needs.
const (
	// Required: without it there is no tracing.
	Required Need = iota // required
	// WherePresent: required on kernels that have the function; others have
	// nothing to see there.
	WherePresent // where-present
	// Optional: what it tells is missing, and coverage says so.
	Optional // optional
)

// MarshalText gives the name that [Need.String] gives.
func (n Need) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// place is where in the kernel a hook sits, and so which programs can be
// attached there.
type place uint8

const (
	entry      place = iota // fentry or kprobe
	exit                    // fexit or kretprobe
	probe                   // kprobe in every mode
	tracepoint              // raw tracepoint in every mode
)

// hook names one place in the kernel. The programs and their targets are in
// bpf/kmodtrace.bpf.c; here is only what its absence costs.
type hook struct {
	name  string
	place place
	need  Need
	tells string
}

// hooks lists all, in the order of attaching: what belongs to the inside of an
// attempt first, the returns before the entries. So whatever entry is seen has
// all its other hooks in place.
func hooks() []hook {
	return []hook{
		{"security_kernel_read_file", entry, Optional, "the file that the kernel itself reads, and the stage read"},
		{"security_kernel_load_data", entry, Optional, "the stage read of init_module"},
		{"idempotent_init_module", entry, WherePresent, "the file of a load that shares another's result (6.5 and later)"},
		{"load_module", entry, Optional, "the stage verify"},
		{"resolve_symbol", entry, Optional, "the stage resolve, and how many symbols"},
		{"apply_relocate_add", entry, Optional, "the stage relocate"},
		{"module_finalize", entry, Optional, "the stage finalize"},
		{"parse_args", probe, Optional, "the stage params, and the parameters as the kernel has them"},
		{"mod_sysfs_setup", entry, Optional, "the stage sysfs"},
		{"console", tracepoint, Optional, "kernel messages of the load"},
		{"make_task_dead", entry, Optional, "that a thread died in a load"},
		{"module_load", tracepoint, Required, "the module before its init"},
		{"do_init_module", probe, Required, "the module before its init, and the stage init"},
		{"do_one_initcall", exit, Optional, "what the module's own init returned"},
		{"do_init_module", exit, Required, "the end of the init"},
		{"free_module", probe, Required, "that a module's memory goes"},
		{"module_free", tracepoint, Required, "that a module's memory goes"},
		{"call_usermodehelper_exec", exit, Optional, "how a request ended"},
		{"module_request", tracepoint, Required, "requests for modules"},
		{"finit_module", exit, Required, "the result of a load"},
		{"init_module", exit, Required, "the result of a load"},
		{"delete_module", exit, Required, "the result of an unload"},
		{"finit_module32", exit, WherePresent, "the result of a 32-bit program's load"},
		{"init_module32", exit, WherePresent, "the result of a 32-bit program's load"},
		{"delete_module32", exit, WherePresent, "the result of a 32-bit program's unload"},
		{"finit_module", entry, Required, "attempts to load"},
		{"init_module", entry, Required, "attempts to load"},
		{"delete_module", entry, Required, "attempts to unload"},
		{"finit_module32", entry, WherePresent, "attempts to load by 32-bit programs"},
		{"init_module32", entry, WherePresent, "attempts to load by 32-bit programs"},
		{"delete_module32", entry, WherePresent, "attempts to unload by 32-bit programs"},
	}
}

// program gives the name of the hook's program for a backend.
func (h hook) program(b Backend) string {
	switch h.place {
	case tracepoint:
		return "tracepoint_" + h.name
	case probe:
		return "kprobe_" + h.name
	case entry:
		if b == Fentry {
			return "fentry_" + h.name
		}
		return "kprobe_" + h.name
	default:
		if b == Fentry {
			return "fexit_" + h.name
		}
		return "kretprobe_" + h.name
	}
}

// Backend is the way in which functions are hooked. Tracepoints, and the kprobes
// on do_init_module, free_module and parse_args, are the same in each.
type Backend uint8

// The backends.
const (
	// Auto takes Fentry where the kernel can, Kprobe otherwise.
	Auto Backend = iota // auto
	// Fentry hooks entries and returns through BPF trampolines. x86-64 from
	// 5.5, arm64 from 6.4 or so. No return is ever lost.
	Fentry // fentry
	// Kprobe hooks entries by kprobes and returns by kretprobes, of which the
	// kernel keeps a fixed number for threads inside the function: with more,
	// returns are lost, and counted.
	Kprobe // kprobe
)

// ParseBackend reads the name of a backend.
func ParseBackend(s string) (Backend, error) {
	for _, b := range []Backend{Auto, Fentry, Kprobe} {
		if strings.EqualFold(s, b.String()) {
			return b, nil
		}
	}
	return Auto, &BackendError{Name: s}
}

// BackendError is the error for a backend that there is not.
type BackendError struct{ Name string }

func (e *BackendError) Error() string {
	return "no backend " + `"` + e.Name + `": want auto, fentry or kprobe`
}

// MarshalText gives the name that [Backend.String] gives.
func (b Backend) MarshalText() ([]byte, error) { return []byte(b.String()), nil }
