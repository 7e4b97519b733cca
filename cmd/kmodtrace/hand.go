package main

import (
	"crypto/rand"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"github.com/kmodtrace/kmodtrace/tracer"
	"golang.org/x/sys/unix"
)

// hand is the one thread of this process that makes module system calls, told
// from all others in the kernel's events.
//
// In the first pid namespace its ids are the kernel's, and the pair of thread and
// process id decides: no other thread has it while this one lives, and it lives as
// long as the process. In another namespace (a container) nothing tells a thread
// what the kernel calls it, and /proc may belong to any namespace; so there the
// thread takes a name with a random part, which every event carries.
type hand struct {
	tasks    chan func()
	pid, tid uint32
	name     string // instead of the ids, if not empty
}

// newHand starts the thread. It ends with the process, or with close.
func newHand() *hand {
	h := &hand{tasks: make(chan func())}
	ready := make(chan struct{})
	go h.work(ready)
	<-ready
	return h
}

// work does the tasks, in one thread that is never the process's first: the kernel
// gives that one the signals of the process, and while it slept in an init nobody would
// hear of a Ctrl-C.
func (h *hand) work(ready chan struct{}) {
	runtime.LockOSThread()
	h.pid, h.tid = uint32(os.Getpid()), uint32(unix.Gettid())
	if h.tid == h.pid {
		go h.work(ready) // not here: this thread is taken until that one is ready
		<-ready
		runtime.UnlockOSThread()
		return
	}
	// Never unlocked: a thread with another name must not serve others.
	if !inFirstPIDNamespace() {
		h.name = "kmodtrace-" + rand.Text()[:5]
		setThreadName(h.name)
	}
	close(ready)
	for task := range h.tasks {
		task()
	}
}

func (h *hand) close() { close(h.tasks) }

// begin has the hand do something, and gives a channel for what comes of it.
func (h *hand) begin(do func() error) <-chan error {
	done := make(chan error, 1)
	h.tasks <- func() { done <- do() }
	return done
}

// is tells whether an event's thread is this one.
func (h *hand) is(t tracer.Thread) bool {
	if h.name != "" {
		return t.Comm == h.name
	}
	return t.TID == h.tid && t.PID == h.pid
}

// inFirstPIDNamespace asks by the inode that the first pid namespace has on every
// kernel (PROC_PID_INIT_INO). Without an answer it is taken for another.
func inFirstPIDNamespace() bool {
	const first = 0xeffffffc
	info, err := os.Stat("/proc/self/ns/pid")
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Ino == first
}

// setThreadName cannot fail for a name that is in memory.
func setThreadName(name string) {
	var text [16]byte
	copy(text[:15], name)
	_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&text)), 0, 0, 0)
}
