package main

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestHandIsNotTheFirstThread: the first thread is free for signals, even where a
// hand begins on it.
func TestHandIsNotTheFirstThread(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for range 200 {
		h := newHand()
		if h.tid == uint32(os.Getpid()) {
			t.Fatal("the hand has the first thread")
		}
		tid := make(chan uint32, 1)
		<-h.begin(func() error { tid <- uint32(unix.Gettid()); return nil })
		if got := <-tid; got != h.tid {
			t.Fatalf("the task ran in thread %d, and the hand is %d", got, h.tid)
		}
		h.close()
	}
}
