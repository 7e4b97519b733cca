// Package tracer watches what a Linux kernel does with modules.
//
// It attaches BPF programs to the functions and tracepoints through which every
// load, unload and request of a module goes, reads what they report, and puts it
// together:
//
//	t, err := tracer.Open(nil)
//	if err != nil {
//		return err
//	}
//	defer t.Close()
//	for action, err := range t.Actions(ctx) {
//		…
//	}
//
// # Events and actions
//
// An [Event] is one thing that the kernel did, as one hook saw it: a small fact
// with the kernel's time and the thread. An [Action] is one attempt to load,
// unload or request a module, from its first event to its last, and only it has
// an [Outcome]. The difference matters. The kernel announces a module by its
// tracepoint module_load before the module's own init has run, and frees it by
// free_module after an init that failed as after an unload: whoever takes these
// for outcomes reports modules as loaded that never were.
//
// [Tracer.Actions] yields actions when they are finished, [Tracer.Events] the
// events themselves. When their context is done, they deliver what is queued
// before they end. A [Correlator] makes actions of events that come from
// elsewhere: it is a pure function, without a kernel.
//
// # What it takes
//
// Kernels from 5.10 to 7.3 with BTF, on x86-64 and arm64, and root or CAP_BPF
// with CAP_PERFMON. [HaveTracing] says what is missing. A hook that this kernel
// does not have costs what [HookStatus.Tells] says and no more, unless it is
// required; [Tracer.Coverage] lists all of them.
//
// Nothing is paid by a machine that loads no modules: no hook is on a path that
// other work uses, and there are no system call tracepoints. Package holders
// has the exception, for one module and as long as somebody asks.
//
// # What can be lost
//
// The kernel side counts each event that found no room in the ring, and each
// attempt knows how many of its own were lost ([Action.Lost]). The kernel counts
// the times that a probe did not run. [Tracer.Loss] has the sums: all zero means
// that nothing was lost. See [Backend] for what each way of hooking can miss.
//
// # Whose word it is
//
// The arguments of a system call are its caller's word: another thread can change
// them before the kernel reads them. An [Enter] is the call as it was made, and a
// [File] says whether it is [File.Claimed] or the one that the kernel used. Text
// that is not UTF-8 has its other bytes as \xNN; it may hold control characters,
// which a terminal must not get.
package tracer
