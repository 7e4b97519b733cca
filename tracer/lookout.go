package tracer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"golang.org/x/sys/unix"
)

// lookout finds actions whose end was missed, so that they are told all the same, and not only
// when the tracing ends: it looks what their threads do.
type lookout struct {
	tracer  *Tracer
	inside  func(*Action) bool // whether the thread may be inside still
	look    time.Duration      // when to look next, since boot
	over    []*Action          // these are over, and
	through uint64             // their events are all before this position in the ring
}

func newLookout(t *Tracer) *lookout {
	l := &lookout{tracer: t}
	if seesThreads() {
		l.inside = maybeInside
	}
	return l
}

// missed gives the actions that are over, once all their events have been added. now is the
// time since boot, or that of the event that was added last.
func (l *lookout) missed(c *Correlator, now time.Duration) (done []Action) {
	if l.inside == nil {
		return nil
	}
	if len(l.over) > 0 && l.tracer.records.Taken(l.through) {
		done = c.end(l.over)
		l.over = nil
	}
	if len(l.over) > 0 || now < l.look {
		return done
	}
	l.look = now + overdueAfter
	l.over = slices.DeleteFunc(c.overdue(now), l.inside)
	if len(l.over) == 0 {
		return done
	}
	var err error
	if l.through, err = l.tracer.records.Reserved(); err != nil {
		l.over = nil // the tracer is closed, and tells them as pending
	}
	return done
}

// seesThreads tells whether /proc shows all threads by the numbers that events have.
func seesThreads() bool {
	self, err := os.Readlink("/proc/self")
	if err != nil || self != strconv.Itoa(os.Getpid()) || !procfs.InFirstPIDNamespace() {
		return false
	}
	for _, file := range []string{"/proc/2/comm", "/proc/self/syscall"} { // of a thread that all see but where they are hidden
		if _, err := os.Stat(file); err != nil {
			return false
		}
	}
	return true
}

// maybeInside tells whether a thread may still be inside what it was seen to begin. It is
// certain of no when the thread is gone, or waits in another system call.
func maybeInside(a *Action) bool {
	thread := fmt.Sprintf("/proc/%d/task/%d", a.Thread.PID, a.Thread.TID)
	if a.Kind == Autoload { // any system call can need a module
		_, err := os.Stat(thread)
		return !errors.Is(err, fs.ErrNotExist)
	}
	text, err := os.ReadFile(thread + "/syscall")
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH):
		return false
	case err != nil:
		return true
	}
	number, _, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	return number == "running" || slices.Contains(moduleCalls(), number)
}

// moduleCalls are the numbers of init_module, finit_module and delete_module in all tables.
func moduleCalls() []string {
	return []string{
		"175", "313", "176", // x86-64
		"105", "273", "106", // arm64
		"128", "350", "379", "129", // 32-bit: finit_module of x86, and of arm
	}
}
