package tracer

import (
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/tracer/internal/attach"
)

// Need says what the absence of a hook means.
type Need uint8

//go:generate go tool stringer -type=Need,Backend -linecomment -output=hook_string.go

// The needs.
const (
	// Required: without it there is no tracing.
	Required Need = iota // required
	// WherePresent: required on kernels that have the function. Others have
	// nothing to see there, or (where it is inlined) only the caller's word.
	WherePresent // where-present
	// Optional: what it tells is missing, and coverage says so.
	Optional // optional
)

// MarshalText gives the name that [Need.String] gives.
func (n Need) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// hook is one BPF program that is attached to one function of the kernel. The programs and their targets are in
// bpf/hooks; here is only what its absence costs.
type hook struct {
	name     string
	hookType attach.Type
	need     Need
	tells    string
	// backups names other hooks that report the same: where they are attached, what this
	// one misses is not missing.
	backups []string
	// insteadOf names other hooks: it is attached only where one of them is not.
	insteadOf []string
	// from and before bound the kernels that the hook is for; zero for no bound.
	from, before version
}

// version is a kernel's version, major and minor.
type version struct{ major, minor int }

func (v version) less(w version) bool {
	return v.major < w.major || v.major == w.major && v.minor < w.minor
}

// hooksFor leaves out the hooks that are not for this kernel.
func hooksFor(v version) []hook {
	return slices.DeleteFunc(hooks(), func(h hook) bool {
		return v.less(h.from) || h.before != version{} && !v.less(h.before)
	})
}

// messagesMoved is the first kernel known to fire the tracepoint console when a
// text is stored; 5.10 is known to fire it when a console is written.
func messagesMoved() version { return version{6, 1} }

// sharingSince is the first kernel known to give a probe's program the address of its
// function. They do from 5.15, but those from 5.18 to 6.0 give another on processors
// with indirect branch tracking (from source).
func sharingSince() version { return version{6, 1} }

// hooks lists all, in the order of attaching: what belongs to the inside of an
// attempt first, the returns before the entries. So whatever entry is seen has
// all its other hooks in place.
func hooks() []hook {
	const security = "that a security module refused the bytes of a module"
	const messages = "what the kernel and the module print meanwhile, and how severe it is"
	return []hook{
		{name: "write_enabled_file_bool", hookType: attach.Probe, need: Optional, tells: "that somebody switches all kprobes off for a moment"},
		{name: "security_kernel_read_file", hookType: attach.Entry, need: Optional, tells: "the file that the kernel itself reads, and the stage read"},
		{name: "security_kernel_load_data", hookType: attach.Entry, need: Optional, tells: "the stage read of init_module"},
		{name: "security_kernel_read_file", hookType: attach.Exit, need: Optional, tells: security},
		{name: "security_kernel_post_read_file", hookType: attach.Exit, need: Optional, tells: security},
		{name: "security_kernel_load_data", hookType: attach.Exit, need: Optional, tells: security},
		{name: "security_kernel_post_load_data", hookType: attach.Exit, need: Optional, tells: security},
		{name: "idempotent_init_module", hookType: attach.Entry, need: WherePresent, from: version{6, 5}, tells: "that a load which shares another's result is of the file that its caller named"},
		{name: "load_module", hookType: attach.Entry, need: Optional, tells: "the stage verify, and what kind of file it is"},
		{name: "find_module_all", hookType: attach.Exit, need: Optional, tells: "the module that is in the way of a load or unload, and who holds it"},
		{name: "find_module_all", hookType: attach.Entry, need: Optional, tells: "the module that is in the way of a load or unload, and who holds it"},
		{name: "resolve_symbol", hookType: attach.Entry, need: Optional, tells: "the stage resolve, and how many symbols"},
		{name: "apply_relocate_add", hookType: attach.Entry, need: Optional, tells: "the stage relocate"},
		{name: "module_finalize", hookType: attach.Entry, need: Optional, tells: "the stage finalize"},
		{name: "blocking_notifier_call_chain_robust", hookType: attach.ProbeReturn, need: Optional, tells: "which callbacks there are of which one refused a complete module"},
		{name: "blocking_notifier_call_chain_robust", hookType: attach.Entry, need: Optional, tells: "which callbacks there are of which one refused a complete module"},
		{name: "parse_args", hookType: attach.Probe, need: Optional, tells: "the stage params, and the parameters as the kernel has them"},
		{name: "mod_sysfs_setup", hookType: attach.Entry, need: Optional, tells: "the stage sysfs"},
		{name: "prb_commit", hookType: attach.Entry, tells: messages, need: Optional},
		{name: "prb_final_commit", hookType: attach.Entry, tells: messages, need: Optional},
		{name: "console", hookType: attach.Tracepoint, tells: messages, from: messagesMoved(), insteadOf: []string{"prb_commit", "prb_final_commit"}, need: Optional},
		{name: "make_task_dead", hookType: attach.Entry, need: Optional, tells: "that a thread died in a load"},
		{name: "module_load", hookType: attach.Tracepoint, need: Required, tells: "the module before its init", backups: []string{"do_init_module"}},
		{name: "do_init_module", hookType: attach.Probe, need: Required, tells: "the module before its init, and the stage init"},
		{name: "do_one_initcall", hookType: attach.ProbeReturn, need: Optional, tells: "what the module's own init returned"},
		{name: "do_init_module", hookType: attach.ProbeReturn, need: Required, tells: "the end of the init"},
		{name: "free_module", hookType: attach.Probe, need: Required, tells: "that a module's memory goes"},
		{name: "module_free", hookType: attach.Tracepoint, need: Required, tells: "that a module's memory goes", backups: []string{"free_module"}},
		{name: "request_module", hookType: attach.ProbeReturn, need: Optional, tells: "how a request ended"},
		{name: "kthread_create_on_node", hookType: attach.ProbeReturn, need: Optional, tells: "which process had a kernel thread made that asks for a module"},
		{name: "call_usermodehelper_exec_async", hookType: attach.Entry, need: Optional, tells: "for which request a load is made"},
		{name: "call_usermodehelper_exec", hookType: attach.Probe, need: Optional, tells: "for which request a load is made"},
		{name: "security_kernel_module_request", hookType: attach.Exit, need: Optional, tells: "that a security module refused a request"},
		{name: "security_kernel_module_request", hookType: attach.Entry, need: Optional, tells: "that a security module refused a request"},
		{name: "module_request", hookType: attach.Tracepoint, need: Required, tells: "requests for modules", backups: []string{"call_usermodehelper_exec", "request_module"}},
		{name: "request_module", hookType: attach.Probe, need: Optional, tells: "requests that come to no helper, and for which request a load is made"},
		{name: "finit_module", hookType: attach.ProbeReturn, need: Required, tells: "the result of a load"},
		{name: "init_module", hookType: attach.ProbeReturn, need: Required, tells: "the result of a load"},
		{name: "delete_module", hookType: attach.ProbeReturn, need: Required, tells: "the result of an unload"},
		{name: "finit_module32", hookType: attach.ProbeReturn, need: WherePresent, tells: "the result of a 32-bit program's load"},
		{name: "init_module32", hookType: attach.ProbeReturn, need: WherePresent, tells: "the result of a 32-bit program's load"},
		{name: "delete_module32", hookType: attach.ProbeReturn, need: WherePresent, tells: "the result of a 32-bit program's unload"},
		{name: "finit_module", hookType: attach.Entry, need: Required, tells: "attempts to load"},
		{name: "init_module", hookType: attach.Entry, need: Required, tells: "attempts to load"},
		{name: "delete_module", hookType: attach.Entry, need: Required, tells: "attempts to unload"},
		{name: "finit_module32", hookType: attach.Entry, need: WherePresent, tells: "attempts to load by 32-bit programs"},
		{name: "init_module32", hookType: attach.Entry, need: WherePresent, tells: "attempts to load by 32-bit programs"},
		{name: "delete_module32", hookType: attach.Entry, need: WherePresent, tells: "attempts to unload by 32-bit programs"},
	}
}

// attachable is what of it is needed to attach it.
func (h hook) attachable() attach.Hook {
	return attach.Hook{Name: h.name, Type: h.hookType, Backups: h.backups, InsteadOf: h.insteadOf}
}

// programs gives the names of the programs that can serve the hook, best first.
func (h hook) programs(b Backend) []string { return h.attachable().Programs(b != Kprobe) }

// Backend is the way in which functions are hooked. Tracepoints, and the kprobes on
// do_init_module, free_module, parse_args and those that tell requests, are the same
// in each.
type Backend uint8

// The backends. Neither loses anything that the kernel does not count; see
// [Loss].
const (
	// Auto takes Kprobe where probes can share events, from 6.1: all are attached and
	// detached in the time of a few. Before, it takes Fentry where the kernel has it
	// and does not preempt itself, Kprobe otherwise.
	Auto Backend = iota // auto
	// Fentry hooks entries through BPF trampolines, x86-64 from 5.5, arm64 from 6.4
	// or so, and the returns of functions that do not sleep. A trampoline runs its
	// program with preemption on, and not at all for a thread that preempted another
	// inside the same program: on kernels that preempt themselves (by default from
	// 7.x) parallel attempts are missed.
	//
	// The returns of functions that sleep (the system calls, a module's init) are
	// hooked as by Kprobe: a thread that is inside one while anybody attaches to it,
	// or detaches, would return past the programs of the trampoline, and nobody
	// counts that. A function whose types do not allow trampolines is hooked as by
	// Kprobe too, and coverage says why: 5.10 does not know the registers of a
	// system call.
	Fentry // fentry
	// Kprobe hooks entries by kprobes, and returns by kretprobes, of which there
	// are 1,024 for each function: with more threads asleep inside one, returns
	// are missed, and counted. Its programs run with preemption off.
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
	return "no backend " + `"` + e.Name + `": must be auto, fentry or kprobe`
}

// MarshalText gives the name that [Backend.String] gives.
func (b Backend) MarshalText() ([]byte, error) { return []byte(b.String()), nil }
