package proof

import (
	"crypto/rand"
	"os"
	"runtime"
	"unsafe"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/tracer"
	"golang.org/x/sys/unix"
)

// caller is the one thread of this process that makes module system calls, told
// from all others in the kernel's events.
//
// In the first pid namespace its ids are the kernel's, and the pair of thread and
// process id decides: no other thread has it while this one lives, and it lives as
// long as the process. In another namespace (a container) nothing tells a thread
// what the kernel calls it, and /proc may belong to any namespace; so there the
// thread takes a name with a random part, which every event carries.
type caller struct {
	tasks    chan func()
	pid, tid uint32
	name     string // instead of the ids, if not empty
}

// newCaller starts the thread. It ends with the process, or with close.
func newCaller() *caller {
	c := &caller{tasks: make(chan func())}
	ready := make(chan struct{})
	go c.work(ready)
	<-ready
	return c
}

// work does the tasks, in one thread that is never the process's first: the kernel
// gives that one the signals of the process, and while it slept in an init nobody would
// hear of a Ctrl-C.
func (c *caller) work(ready chan struct{}) {
	runtime.LockOSThread()
	c.pid, c.tid = uint32(os.Getpid()), uint32(unix.Gettid())
	if c.tid == c.pid {
		go c.work(ready) // not here: this thread is taken until that one is ready
		<-ready
		runtime.UnlockOSThread()
		return
	}
	// Never unlocked: a thread with another name must not serve others.
	if !procfs.InFirstPIDNamespace() {
		c.name = "kmodtrace-" + rand.Text()[:5]
		setThreadName(c.name)
	}
	close(ready)
	for task := range c.tasks {
		task()
	}
}

func (c *caller) close() { close(c.tasks) }

// begin has the thread do something, and gives a channel for what comes of it.
func (c *caller) begin(do func() error) <-chan error {
	done := make(chan error, 1)
	c.tasks <- func() { done <- do() }
	return done
}

// is tells whether an event's thread is this one.
func (c *caller) is(t tracer.Thread) bool {
	if c.name != "" {
		return t.Comm == c.name
	}
	return t.TID == c.tid && t.PID == c.pid
}

// setThreadName cannot fail for a name that is in memory.
func setThreadName(name string) {
	var text [16]byte
	copy(text[:15], name)
	_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&text)), 0, 0, 0)
}
