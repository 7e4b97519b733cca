package service

import (
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// minor is what a fold keeps of a minor action: one that changed nothing, by a caller who
// may change nothing. Anybody can make as many of these as the machine carries.
type minor struct {
	who       caller
	kind      tracer.ActionKind
	at        time.Time
	user      string
	errno     string
	module    string
	program   string
	container string
}

// caller is a user by the numbers of the first user namespace.
type caller struct {
	uid   uint32
	known bool
}

// minorOf describes an action if it is a minor one.
func minorOf(a *tracer.Action) (minor, bool) {
	if changes(a) {
		return minor{}, false
	}
	who, thread := record.Responsible(a)
	known := thread != nil
	if !known && a.ForRequest == 0 || known && mayLoad(a, who, thread) {
		return minor{}, false
	}
	m := minor{kind: a.Kind, at: a.Time, errno: a.ErrnoName, module: a.Module}
	if m.at.IsZero() {
		m.at = time.Now()
	}
	if !known {
		return m, true
	}
	m.who = caller{uid: thread.UID, known: true}
	m.program = thread.Comm
	if who != nil {
		m.who.uid, m.user, m.program = who.UID, record.User(&who.Process), who.Comm
		if who.Exe != nil {
			m.program = who.Exe.Path
		}
		if c := who.Cgroup.Container; c != nil {
			m.container = c.ID
		}
	}
	return m, true
}

// changes tells whether an action changed which modules are loaded, or may have.
func changes(a *tracer.Action) bool {
	switch {
	case a.Outcome == tracer.Live, a.Outcome == tracer.Unloaded, a.Crashed:
		return true
	case a.Kind == tracer.Autoload:
		return len(a.Loads) > 0 && a.Outcome != tracer.Failed
	case a.Outcome == tracer.Pending:
		// The kernel asks for the capability before all else.
		return a.Call == nil || a.Call.Capable
	}
	return false
}

// mayLoad tells whether a caller has what it takes to load modules. Where that event was
// lost it may, unless the kernel said no to somebody who is not root.
func mayLoad(a *tracer.Action, who *tracer.Actor, thread *tracer.Thread) bool {
	switch {
	case a.ForRequest == 0 && a.Call != nil:
		return a.Call.Capable
	case who == nil:
		return thread.UID == 0 || a.ForRequest == 0 && a.Kind != tracer.Autoload && a.Errno != unix.EPERM
	case who.KernelThread:
		return true
	}
	return who.Namespaces.User.Initial && who.Capabilities.Has(tracer.CapSysModule)
}

// sample cuts a text that somebody chose to what a fold keeps of it.
func sample(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= sampleSize {
		return text
	}
	n := sampleSize
	for !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "…"
}
