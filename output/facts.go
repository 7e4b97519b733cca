package output

import (
	"encoding/json"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// fact is one thing known of an entry, for outputs that have a list of names and values.
type fact struct{ name, value string }

// factList leaves out what is not known.
type factList []fact

func (l *factList) add(name, value string) {
	if value != "" {
		*l = append(*l, fact{name, value})
	}
}

func (l *factList) number(name string, n uint64) { l.add(name, strconv.FormatUint(n, 10)) }

// facts are those of an entry. Each name stands once.
func facts(e *Entry) []fact {
	l := factList{}
	l.add("id", e.ID)
	l.add("seq", strconv.FormatInt(e.Seq, 10))
	l.add("boot", e.Boot)
	l.add("kind", string(e.Kind))
	l.add("hash", e.Hash.String())
	if f := e.Finding; f != nil {
		l.add("rule", f.Rule)
		l.add("severity", string(f.Severity))
		l.add("subject", f.Subject)
		l.add("attack", strings.Join(f.Attack, ","))
		l.add("of", f.Record)
		if e.Known == nil {
			l.add("action", f.Action.String())
			l.add("module", f.Module)
			return l
		}
	}
	if e.Known == nil {
		module := e.Module
		if module == "" {
			module = e.note().Module.Name
		}
		l.add("module", module)
		l.folded(e)
		return l
	}
	a := e.Known
	l.add("action", a.Kind.String())
	l.add("module", a.Module)
	l.add("outcome", a.Outcome.String())
	if a.Cause != nil {
		l.add("cause", string(a.Cause.Code))
		l.add("reason", a.Cause.Text)
	}
	l.add("errno", a.ErrnoName)
	if a.Took > 0 {
		l.number("took_ns", uint64(a.Took))
	}
	l.who(a)
	l.process(a)
	l.file(a)
	if a.Params != nil {
		l.add("params", a.Params.Text)
	}
	if a.Request != nil {
		l.add("request", a.Request.Name)
	}
	if a.Partial || a.Lost > 0 || a.EndLost {
		l.add("incomplete", "true")
	}
	return l
}

// folded are those of attempts that are only counted.
func (l *factList) folded(e *Entry) {
	if e.Kind != journal.KindFolded {
		return
	}
	l.add("action", e.Action)
	l.add("count", strconv.FormatInt(e.Count, 10))
	l.add("user", e.User)
	if e.UID != nil {
		l.number("uid", uint64(*e.UID))
	}
}

func (l *factList) who(a *record.Record) {
	who := a.Responsible()
	if who == nil {
		return
	}
	l.add("user", record.User(&who.Process))
	l.number("uid", uint64(who.UID))
	if who.LoginUID != nil {
		l.number("loginuid", uint64(*who.LoginUID))
		if who.LoginDoubtful {
			l.add("loginuid_doubtful", "true")
		}
	}
	if c := who.Cgroup.Container; c != nil {
		l.add("container", c.ID)
		l.add("container_runtime", c.Runtime)
		l.add("container_image", c.Image)
	}
	l.add("pod", who.Cgroup.PodUID)
	if pod := who.Cgroup.Pod; pod != nil {
		l.add("pod_namespace", pod.Namespace)
		l.add("pod_name", pod.Name)
		l.add("pod_container", pod.Container)
	}
	l.add("unit", who.Cgroup.Unit)
	if asked := asker(a); asked != nil && asked.PID != who.PID {
		l.add("kernel_thread", asked.Comm)
		l.number("kernel_thread_pid", uint64(asked.PID))
	}
	if a.Requester != nil {
		l.add("requester", who.Comm)
		l.number("requester_pid", uint64(who.PID))
	}
}

// asker is who asked first, or made the call, be it a kernel thread: see [tracer.Actor.Behind].
func asker(a *record.Record) *tracer.Actor {
	who := a.Actor
	for r := a.Requester; r != nil; r = r.Requester {
		who = r.Actor
	}
	return who
}

func (l *factList) process(a *record.Record) {
	p := processOf(a)
	l.number("pid", uint64(p.PID))
	l.add("comm", p.Comm)
	if p.Exe != nil {
		l.add("exe", p.Exe.Path)
	}
	l.add("terminal", p.Terminal)
	if a.Actor != nil {
		l.add("command", strings.Join(a.Actor.Args, " "))
		l.add("working_directory", workingDirectory(a))
	}
}

func (l *factList) file(a *record.Record) {
	if f := a.File; f != nil {
		l.add("file", f.Path)
		if f.Memfd {
			l.add("memfd", "true")
		}
	}
	if d := a.Details; d != nil && d.Signed != nil {
		l.add("signed", strconv.FormatBool(*d.Signed))
	}
	l.add("sha256", string(a.Content()))
	if o := a.Origin; o != nil {
		l.add("signer", o.Signer)
		if o.Package != nil {
			l.add("package", o.Package.Name)
		}
	}
}

// processOf is who made the system call; where that event was lost, what its thread tells.
func processOf(a *record.Record) tracer.Process {
	if a.Actor != nil {
		return a.Actor.Process
	}
	t := a.Thread
	return tracer.Process{PID: t.PID, Start: t.Start, Comm: t.Comm, UID: t.UID, EUID: t.UID, Cgroup: tracer.Cgroup{ID: t.CgroupID}}
}

// entityID tells a process from all others of this machine.
func entityID(e *Entry, p *tracer.Process) string {
	return strings.Join([]string{e.Boot, strconv.FormatUint(uint64(p.PID), 10), strconv.FormatInt(int64(p.Start), 10)}, "-")
}

// began is when a process did, on the wall clock; zero for not known.
func began(e *Entry, p *tracer.Process) time.Time {
	if e.Known.Time.IsZero() || p.Start == 0 {
		return time.Time{}
	}
	return e.Known.Time.Add(p.Start - e.Known.Start)
}

// moment gives a time as RFC 3339 has it, which knows four digits for a year.
func moment(t time.Time) string {
	t = t.UTC()
	if t.IsZero() || t.Year() < 1 || t.Year() > 9999 {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}

// baseName is the last name of a path; empty for an empty one.
func baseName(p string) string {
	if p == "" {
		return ""
	}
	return path.Base(p)
}

func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// note is what the body of a record that is not an action says.
type note struct {
	Module struct {
		Name string `json:"name"`
		Size uint64 `json:"size"`
	} `json:"module"`
}

func (e *Entry) note() note {
	var n note
	if e.Known == nil {
		// A body that is something else has none of it.
		_ = json.Unmarshal(e.Body, &n)
	}
	return n
}
