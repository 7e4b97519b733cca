package main

import (
	"path"
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/modname"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// actionFilter is what every filter of actions has. An empty field wants everything; values
// of one field are alternatives, and every field must agree.
type actionFilter struct {
	modules  []glob
	actions  []tracer.ActionKind
	outcomes []tracer.Outcome
	causes   []cause.Code
}

// filter tells what a user wants to see of what happens.
type filter struct {
	actionFilter
	comms []glob
	pids  []uint32 // of processes or threads, in the first pid namespace
	uids  []uint32

	logins     []uint32 // who logged in
	containers []string
	units      []glob
	ancestors  []processFilter
	requesters []processFilter
	autoloaded *bool
}

// processFilter names a process by its id, or by its command name.
type processFilter struct {
	pid  uint32
	comm glob
}

func (f processFilter) match(p *tracer.Process) bool {
	return f.pid != 0 && f.pid == p.PID || f.pid == 0 && f.comm.match(p.Comm)
}

func (f *filter) action(a *tracer.Action) bool {
	if len(f.causes) > 0 && !cause.Needed(a) {
		return false
	}
	return f.doer(a) && f.who(a) &&
		anyOf(f.actions, a.Kind) && anyOf(f.outcomes, a.Outcome) &&
		matchAny(f.modules, modname.Normal(a.Module))
}

// cause is asked when it is known, which takes a look around: after all else.
func (f *filter) cause(c *cause.Cause) bool {
	return len(f.causes) == 0 || c != nil && slices.Contains(f.causes, c.Code)
}

// doer asks after the thread that did it, or one that asked for it.
func (f *filter) doer(a *tracer.Action) bool {
	if f.thread(a.Thread) {
		return true
	}
	for r := range a.Requesters() {
		if f.thread(r.Thread) {
			return true
		}
	}
	return false
}

// who asks after processes: the one that did it with its ancestors, and those for
// whose sake it was done. One of them must be all that is asked for.
func (f *filter) who(a *tracer.Action) bool {
	if f.autoloaded != nil && *f.autoloaded != (a.Requester != nil || a.ForRequest != 0) {
		return false
	}
	if len(f.requesters) > 0 && !f.requested(a) {
		return false
	}
	if len(f.logins)+len(f.containers)+len(f.units)+len(f.ancestors) == 0 {
		return true
	}
	if f.actor(a.Actor) {
		return true
	}
	for r := range a.Requesters() {
		if f.actor(r.Actor) {
			return true
		}
	}
	return false
}

// requested asks after those who needed it: the requester of a load, and whoever made
// the request itself.
func (f *filter) requested(a *tracer.Action) bool {
	asked := func(who *tracer.Actor) bool {
		return who != nil && slices.ContainsFunc(f.requesters, func(p processFilter) bool { return p.match(&who.Process) })
	}
	if a.Request != nil && asked(a.Actor) {
		return true
	}
	for r := range a.Requesters() {
		if asked(r.Actor) {
			return true
		}
	}
	return false
}

func (f *filter) actor(a *tracer.Actor) bool {
	return a != nil && f.login(a) && f.container(a) && f.unit(a) && f.ancestor(a)
}

func (f *filter) login(a *tracer.Actor) bool {
	return len(f.logins) == 0 || a.LoginUID != nil && slices.Contains(f.logins, *a.LoginUID)
}

// container matches the beginning of an id, a runtime, or any container.
func (f *filter) container(a *tracer.Actor) bool {
	c := a.Cgroup.Container
	return len(f.containers) == 0 || slices.ContainsFunc(f.containers, func(wanted string) bool {
		if wanted == anyContainer {
			return render.ContainerText(&a.Process) != ""
		}
		return c != nil && (strings.HasPrefix(c.ID, wanted) || c.Runtime == wanted)
	})
}

const anyContainer = "any"

func (f *filter) unit(a *tracer.Actor) bool {
	return len(f.units) == 0 || a.Cgroup.Unit != "" && matchAny(f.units, a.Cgroup.Unit) ||
		a.Cgroup.UserUnit != "" && matchAny(f.units, a.Cgroup.UserUnit)
}

func (f *filter) ancestor(a *tracer.Actor) bool {
	return len(f.ancestors) == 0 || slices.ContainsFunc(f.ancestors, func(p processFilter) bool {
		return p.match(&a.Process) || slices.ContainsFunc(a.Ancestors, func(up tracer.Process) bool { return p.match(&up) })
	})
}

// thread is what an event alone can be asked.
func (f *filter) thread(t tracer.Thread) bool {
	return (anyOf(f.pids, t.PID) || anyOf(f.pids, t.TID)) && anyOf(f.uids, t.UID) && matchAny(f.comms, t.Comm)
}

// ofActions tells whether the filter asks for what only a finished action has.
func (f *filter) ofActions() bool {
	return len(f.modules)+len(f.actions)+len(f.outcomes)+len(f.causes)+
		len(f.logins)+len(f.containers)+len(f.units)+len(f.ancestors)+len(f.requesters) > 0 || f.autoloaded != nil
}

func anyOf[T comparable](wanted []T, v T) bool {
	return len(wanted) == 0 || slices.Contains(wanted, v)
}

func matchAny(globs []glob, name string) bool {
	return len(globs) == 0 || slices.ContainsFunc(globs, func(g glob) bool { return g.match(name) })
}

// glob is a pattern of path.Match that is known to be one.
type glob string

func parseGlob(s string) (glob, error) {
	if s == "" {
		return "", usageErrorf("an empty glob matches nothing")
	}
	if _, err := path.Match(s, ""); err != nil {
		return "", usageErrorf("%s: not a glob: %w", cells.Short(s), err)
	}
	return glob(s), nil
}

// parseModuleGlob takes '-' for '_', as the kernel does, but not inside [a-z].
func parseModuleGlob(s string) (glob, error) {
	g, err := parseGlob(s)
	if err != nil {
		return "", err
	}
	text, class := []byte(g), false
	for i, c := range text {
		switch {
		case c == '[':
			class = true
		case c == ']':
			class = false
		case c == '-' && !class:
			text[i] = '_'
		}
	}
	return glob(text), nil
}

// match treats '/', which path.Match sets apart, as any other character.
func (g glob) match(name string) bool {
	const stand = "\x00"
	ok, err := path.Match(strings.ReplaceAll(string(g), "/", stand), strings.ReplaceAll(name, "/", stand))
	return ok && err == nil
}
