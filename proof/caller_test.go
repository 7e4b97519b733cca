package proof

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCallerIsNotTheFirstThread: the first thread is free for signals, even where a
// caller begins on it.
func TestCallerIsNotTheFirstThread(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for range 200 {
		c := newCaller()
		if c.tid == uint32(os.Getpid()) {
			t.Fatal("the caller has the first thread")
		}
		tid := make(chan uint32, 1)
		<-c.begin(func() error { tid <- uint32(unix.Gettid()); return nil })
		if got := <-tid; got != c.tid {
			t.Fatalf("the task ran in thread %d, and the caller is %d", got, c.tid)
		}
		c.close()
	}
}
