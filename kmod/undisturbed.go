package kmod

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// undisturbed makes a system call while its thread gets none of the signals by which
// the Go runtime preempts goroutines (SIGURG). Where these system calls wait for the
// kernel's lock or for another load of the same name, a signal ends them: delete_module
// with EINTR, which nobody could understand, and finit_module so that it begins anew,
// which the kernel's events show as two attempts.
func undisturbed(call func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var preempt, before unix.Sigset_t
	preempt.Val[0] = 1 << (unix.SIGURG - 1)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &preempt, &before); err != nil {
		return err
	}
	defer func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil) }()
	return call()
}
