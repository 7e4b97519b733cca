package render

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// by says in n columns who is responsible for an action.
func (u Users) by(a *tracer.Action, n int) string {
	who, thread := record.Responsible(a)
	switch {
	case who != nil:
		return lineage(who, n)
	case thread != nil:
		return u.who(*thread)
	}
	return fmt.Sprintf("unknown: %s[%d]", a.Thread.Comm, a.Thread.PID) // the helper
}

// below stands between a process and what it started.
const below = " › "

// lineage gives the person, and the process below as many of its ancestors as there
// is room for: "alice: bash › sudo › insmod[4121]".
func lineage(a *tracer.Actor, n int) string {
	person := person(&a.Process) + ": "
	self := fmt.Sprintf("%s[%d]", a.Comm, a.PID)
	for keep := len(a.Ancestors); keep >= 0; keep-- {
		var line []string
		if keep < len(a.Ancestors) || a.AncestorsCut {
			line = append(line, "…")
		}
		for _, p := range slices.Backward(a.Ancestors[:keep]) {
			line = append(line, p.Comm)
		}
		text := person + strings.Join(append(line, self), below)
		if cells.Count(cells.Printable(text)) <= n {
			return text
		}
	}
	return person + self
}

// person is whose process it is, with the container that it is in.
func person(p *tracer.Process) string {
	name := record.Person(p)
	if where := ContainerText(p); where != "" {
		name += " in " + where
	}
	return name
}

// ContainerText names the container of a process, if it is in one.
func ContainerText(p *tracer.Process) string {
	c := p.Cgroup.Container
	switch {
	case c != nil && c.Runtime != "":
		return c.Runtime + " " + cells.Cut(c.ID, 12)
	case c != nil:
		return "container " + cells.Cut(c.ID, 12)
	case p.Namespaces.Contained():
		return "a container"
	}
	return ""
}

// needText says for whose request something was loaded, and by which helper.
func needText(a *tracer.Action) string {
	if a.Requester == nil {
		return ""
	}
	text := "for " + requestText(&a.Requester.Request) + threadText(a.Requester.Actor)
	if a.Actor != nil {
		text += fmt.Sprintf(", by %s[%d]", a.Actor.Comm, a.Actor.PID)
	}
	return text
}

// threadText names the kernel thread that asked where the process behind it stands for it, and
// says of a worker that nobody can.
func threadText(a *tracer.Actor) string {
	switch {
	case a == nil:
		return ""
	case a.Worker:
		return ", " + unknownQueuer
	case a.Behind() != a:
		return fmt.Sprintf(", asked by %s[%d], started by %s[%d]", a.Comm, a.PID, a.Behind().Comm, a.Behind().PID)
	}
	return ""
}

// requestText is what was asked for, in words where there are better ones.
func requestText(r *tracer.Request) string {
	if r.Meaning == "" || r.Meaning == "module "+r.Name {
		return r.Name
	}
	return fmt.Sprintf("%s (%s)", r.Meaning, r.Name)
}

// awaitedText names the others who waited for it.
func (u Users) awaitedText(a *tracer.Action) string {
	var names []string
	for _, r := range a.AwaitedBy {
		names = append(names, u.requester(&r))
	}
	if len(names) == 0 {
		return ""
	}
	return "also awaited by " + strings.Join(names, ", ")
}

func (u Users) requester(r *tracer.Requester) string {
	if r.Actor == nil {
		return u.who(r.Thread)
	}
	return fmt.Sprintf("%s: %s[%d]", person(&r.Actor.Process), r.Actor.Comm, r.Actor.PID)
}

// askedText says what a request was for, and where in the kernel it was made.
func askedText(a *tracer.Action) string {
	r := a.Request
	if r == nil {
		return ""
	}
	var words []string
	if r.Meaning != "" && r.Meaning != "module "+r.Name {
		words = append(words, r.Meaning)
	}
	switch {
	case r.Symbol != "":
		words = append(words, "in "+r.Symbol)
	case r.Site != 0:
		words = append(words, "at "+r.Site.String())
	}
	if r.Helper != "" {
		words = append(words, "which started "+r.Helper)
	}
	return strings.TrimPrefix(strings.Join(words, ", ")+threadText(a.Actor), ", ")
}

// unknownQueuer is what there is to say of who is behind the worker of a workqueue.
const unknownQueuer = "a worker of the kernel: who queued the work is not known"

// attribution are the lines of a block that say who did it, all that is known.
func (t *ResultText) attribution(a *tracer.Action) []cells.Line {
	var lines []cells.Line
	add := func(label, text string) {
		if text != "" {
			lines = append(lines, t.Wrapped(label, cells.Plain, text)...)
		}
	}
	made := func(a *tracer.Actor) {
		for by := range a.Creators() {
			add("", "started by "+lineage(by, 1<<16))
			add("", actorText(by))
		}
		if a.Worker {
			add("", unknownQueuer)
		}
	}
	if a.Actor != nil {
		add("by", lineage(a.Actor, 1<<16))
		add("", actorText(a.Actor))
		made(a.Actor)
	}
	for r := a.Requester; r != nil; r = r.Requester {
		add("for", requestText(&r.Request))
		if r.Actor != nil {
			add("asked by", lineage(r.Actor, 1<<16))
			add("", actorText(r.Actor))
			made(r.Actor)
		}
	}
	add("", t.users.awaitedText(a))
	if a.Request != nil {
		add("asked for", askedText(a))
	}
	return lines
}

// actorText is what there is to know of a process beside its name.
func actorText(a *tracer.Actor) string {
	var words []string
	add := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	if len(a.Args) > 0 {
		text := strings.Join(a.Args, " ")
		if a.ArgsCut {
			text += "…"
		}
		add("%q", text)
	}
	if a.WorkingDirectory != nil {
		add("in directory %s", directoryText(a.WorkingDirectory))
	}
	if a.Exe != nil {
		add("%s", fileText(a.Exe))
	}
	if a.Terminal != "" {
		add("on %s", a.Terminal)
	}
	if a.Cgroup.Unit != "" {
		add("in %s", a.Cgroup.Unit)
	}
	if c := a.Cgroup.Container; c != nil && c.Image != "" {
		add("image %s", c.Image)
	}
	switch pod := a.Cgroup.Pod; {
	case pod != nil:
		add("pod %s/%s", pod.Namespace, pod.Name)
	case a.Cgroup.PodUID != "":
		add("pod %s", a.Cgroup.PodUID)
	}
	return strings.Join(words, ", ")
}
