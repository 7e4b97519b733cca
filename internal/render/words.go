package render

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/usernames"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
	"golang.org/x/sys/unix"
)

// Users gives names to user ids, each looked up once.
type Users map[uint32]string

func (u Users) name(uid uint32) string {
	if name, ok := u[uid]; ok {
		return name
	}
	name := cmp.Or(usernames.User(uid), strconv.FormatUint(uint64(uid), 10))
	u[uid] = name
	return name
}

// who names a thread: whose process it belongs to, and which.
func (u Users) who(t tracer.Thread) string {
	return fmt.Sprintf("%s: %s[%d]", u.name(t.UID), t.Comm, t.PID)
}

// outcomeText gives the longest form of an outcome that fits into n columns.
func outcomeText(a *tracer.Action, n int) string {
	word := a.Outcome.String()
	switch {
	case a.Crashed:
		return "crashed"
	case a.Outcome != tracer.Failed || a.ErrnoName == "":
		return word
	}
	if text := word + " " + a.ErrnoName; cells.Count(text) <= n {
		return text
	}
	return a.ErrnoName
}

func outcomeStyle(o tracer.Outcome) cells.Style {
	switch o {
	case tracer.Live, tracer.Unloaded, tracer.Answered:
		return cells.Good
	case tracer.Failed:
		return cells.Bad
	default:
		return cells.Unsure
	}
}

// remarks are the notes without those that a cause has said in other words.
func remarks(a *record.Record) []string {
	if a.Cause == nil || a.Cause.Code == cause.Unknown {
		return notes(&a.Action)
	}
	return circumstances(&a.Action)
}

// notes says what else there is to know about an action, most telling first.
func notes(a *tracer.Action) []string {
	notes := noter{}
	notes.add(a.Crashed, "its thread was killed for a fault")
	notes.add(a.Outcome == tracer.Failed && a.Stage != 0, "at stage %v", a.Stage)
	notes.add(a.InitResult != nil && *a.InitResult != 0, "its init returned %s", initText(a))
	notes.add(a.HelperStatus != nil && *a.HelperStatus != 0, "modprobe %s", waitText(a.HelperStatus))
	return append(notes, circumstances(a)...)
}

// noter collects notes.
type noter []string

func (n *noter) add(when bool, format string, args ...any) {
	if when {
		*n = append(*n, fmt.Sprintf(format, args...))
	}
}

// circumstances are notes that have nothing to do with the outcome.
func circumstances(a *tracer.Action) []string {
	notes := noter{}
	add := notes.add
	add(a.FirstTry != nil, "first tried as it is compressed")
	add(a.Request != nil && !a.Request.Wait, "not waited for")
	add(a.SharedWith != 0, "shares another load's result")
	add(a.Call != nil && a.Call.Compat, "by a 32-bit program")
	add(a.Partial, "began before the tracing")
	add(a.EndLost, "its end was not seen")
	add(a.Lost > 0, "%d of its events lost", a.Lost)
	return append(notes, callNotes(a.Call)...)
}

// initText gives what the init returned, by name where the outcome has not said
// that name already.
func initText(a *tracer.Action) string {
	if a.InitResult == nil {
		return ""
	}
	if *a.InitResult == -int64(a.Errno) {
		return strconv.FormatInt(*a.InitResult, 10)
	}
	return resultNumber(*a.InitResult)
}

// callNotes says what the caller asked the kernel to overlook.
func callNotes(c *tracer.Enter) []string {
	switch {
	case c == nil:
	case c.Call == tracer.DeleteModule && c.Flags&unix.O_TRUNC != 0:
		return []string{"forced"}
	case c.Call == tracer.FinitModule && c.Flags&unix.MODULE_INIT_IGNORE_VERMAGIC != 0:
		return []string{"forced vermagic"}
	case c.Call == tracer.FinitModule && c.Flags&unix.MODULE_INIT_IGNORE_MODVERSIONS != 0:
		return []string{"forced modversions"}
	}
	return nil
}

// resultNumber gives what a function of the kernel returned.
func resultNumber(v int64) string {
	if v < 0 && v >= -4095 {
		return fmt.Sprintf("%d (%s)", v, tracer.ErrnoName(unix.Errno(-v)))
	}
	return strconv.FormatInt(v, 10)
}

// waitText reads a status as wait(2) gives it.
func waitText(v *int64) string {
	if v == nil {
		return ""
	}
	status := unix.WaitStatus(*v)
	if status.Signaled() {
		return "was killed by signal " + strconv.Itoa(int(status.Signal()))
	}
	return "ended with status " + strconv.Itoa(status.ExitStatus())
}

// fileText names a file, and says when its name means nothing.
func fileText(f *tracer.File) string {
	switch {
	case f == nil:
		return ""
	case f.Memfd:
		return f.Path + " (in memory only)"
	case f.Deleted:
		return f.Path + " (deleted)"
	}
	return f.Path
}

// directoryText is a working directory, with what keeps its path from leading there.
func directoryText(d *tracer.Directory) string {
	text := d.Path
	if d.Deleted {
		text += " (deleted)"
	}
	if d.Unreachable {
		text += " (unreachable)"
	}
	return text
}

// paramsText gives the parameters as the kernel parsed them, or as the caller
// gave them when it came to no parsing.
func paramsText(a *tracer.Action) string {
	switch {
	case a.Params != nil:
		return strings.TrimSpace(a.Params.Text)
	case a.Kind == tracer.Load && a.Call != nil:
		return strings.TrimSpace(a.Call.Text)
	}
	return ""
}

func actionTaints(a *tracer.Action) string {
	if a.Details == nil || a.Kind != tracer.Load {
		return ""
	}
	return strings.Join(a.Details.Taints.Names(), ", ")
}
