package kmod

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sleepThroughPreemption sleeps in the kernel and is sent the runtime's signal meanwhile.
func sleepThroughPreemption() error {
	pid, tid := unix.Getpid(), unix.Gettid()
	sent := make(chan error)
	go func() {
		time.Sleep(20 * time.Millisecond)
		sent <- unix.Tgkill(pid, tid, unix.SIGURG)
	}()
	err := unix.Nanosleep(&unix.Timespec{Nsec: 300e6}, nil)
	if err := <-sent; err != nil {
		return err
	}
	return err
}

func TestUndisturbed(t *testing.T) {
	if err := undisturbed(sleepThroughPreemption); err != nil {
		t.Error(err)
	}
	if err := undisturbed(func() error { return unix.ENOENT }); err != unix.ENOENT {
		t.Errorf("the call's own error: %v", err)
	}
	var now unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, nil, &now); err != nil {
		t.Fatal(err)
	}
	if now.Val[0]&(1<<(unix.SIGURG-1)) != 0 {
		t.Error("the runtime's signal stays blocked")
	}
}
