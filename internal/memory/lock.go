package memory

import "golang.org/x/sys/unix"

// AllowLocked lets the process lock as much memory as it wants. Kernels before 5.11 count what BPF
// maps and programs take as that (commit 97306be45fbe), and the limit is too low for ours. Where
// it fails, the kernel's own error follows, if the limit counts there.
//
// This is not the library's RemoveMemlock: importing that has every start of the program, also of
// a command that traces nothing, create BPF maps, to find out what the limit counts for.
func AllowLocked() {
	_ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
}
