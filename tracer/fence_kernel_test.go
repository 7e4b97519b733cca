package tracer_test

import (
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// testFence: when a fence is passed, all that happened before it on any processor was given, and
// nothing that happened after it. A second tracer, which sees whatever others do, sees nothing of it.
func testFence(t *testing.T, w *watch) {
	second := open(t, &tracer.Options{Backend: w.backend()})
	const rounds = 10
	processors := runtime.NumCPU()
	var self tracer.Thread
	seen := 0
	for range rounds {
		for i := range processors { // not at once: trampolines may miss threads that preempt each other
			var one sync.WaitGroup
			one.Go(func() { refusedOn(t, i) })
			one.Wait()
		}
		self = passFence(t, w)
		for n := len(w.actions); n > 0; n-- {
			a := <-w.actions
			if a.Errno == unix.EINTR { // by the Go runtime's own signals, and tried again
				continue
			}
			expect(t, []tracer.Action{a}, "unload fence_of_all failed ENOENT")
			if a.Thread.PID != self.PID || a.Thread.Start != self.Start {
				t.Errorf("the fence is of %+v, and the unload before it of %+v", self, a.Thread)
			}
			seen++
		}
	}
	if want := rounds * processors; seen != want {
		t.Errorf("%d unloads came before their fences, want %d", seen, want)
	}
	passFence(t, second)
	for n := len(second.actions); n > 0; n-- {
		if a := <-second.actions; a.Errno != unix.EINTR {
			seen--
		}
	}
	if seen != 0 {
		t.Errorf("the second tracer saw %d actions less than were made", seen)
	}
	if self.PID == 0 || self.Comm == "" || self.UID != uint32(os.Getuid()) {
		t.Errorf("the fence is of %+v", self)
	}
}

// testSelfTest: a tracer sees its own refused calls, and gives them to nobody, beside calls of others; a second tracer has
// them.
func testSelfTest(t *testing.T, w *watch) {
	second := open(t, &tracer.Options{Backend: w.backend()})
	const rounds = 3
	for range rounds {
		refusedOn(t, 0) // not at once: trampolines may miss threads that preempt each other
		if err := w.SelfTest(t.Context()); err != nil {
			t.Error(err)
		}
	}
	passFence(t, w)
	for n := len(w.actions); n > 0; n-- {
		if a := <-w.actions; a.Errno != unix.EINTR {
			expect(t, []tracer.Action{a}, "unload fence_of_all failed ENOENT")
		}
	}
	passFence(t, second)
	seen := make(map[string]int)
	for n := len(second.actions); n > 0; n-- {
		a := <-second.actions
		if a.Call == nil {
			t.Errorf("a second tracer saw %s, which is not whole", brief(a))
			continue
		}
		if strings.HasPrefix(a.Call.Text, "kmodtrace_self_test_") && a.Errno != unix.EINTR {
			seen[a.Kind.String()+" "+a.ErrnoName]++
		}
	}
	if len(seen) != 2 || seen["load EBADF"] != rounds || seen["unload ENOENT"] != rounds {
		t.Errorf("a second tracer saw %v", seen)
	}
}

// refusedOn makes an unload that is refused, on one processor.
func refusedOn(t *testing.T, processor int) {
	runtime.LockOSThread() // and never unlocked: the thread ends with it
	var on unix.CPUSet
	on.Set(processor)
	if err := unix.SchedSetaffinity(0, &on); err != nil {
		t.Errorf("run on processor %d: %v", processor, err)
		return
	}
	err := error(unix.EINTR)
	for err == unix.EINTR {
		err = unix.DeleteModule("fence_of_all", unix.O_NONBLOCK)
	}
	if err != unix.ENOENT {
		t.Errorf("unload: %v", err)
	}
}

// passFence makes a fence, and waits until the iteration comes to it.
func passFence(t *testing.T, w *watch) tracer.Thread {
	t.Helper()
	passed, err := w.Fence()
	if err != nil {
		t.Fatal(err)
	}
	return await.Receive(t, "the fence", passed)
}
