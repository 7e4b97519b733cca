// Package filter selects actions and events by what a command line asks for.
package filter

import (
	"path"
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/modname"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// ActionFilter is what every filter of actions has. An empty field wants everything; values
// of one field are alternatives, and every field must agree.
type ActionFilter struct {
	Modules  []Glob
	Actions  []tracer.ActionKind
	Outcomes []tracer.Outcome
	Causes   []cause.Code
}

// Filter tells what a user wants to see of what happens.
type Filter struct {
	ActionFilter
	comms []Glob
	pids  []uint32 // of processes or threads, in the first pid namespace
	uids  []uint32

	logins     []uint32 // who logged in
	containers []string
	units      []Glob
	ancestors  []ProcessFilter
	requesters []ProcessFilter
	autoloaded *bool
}

// ProcessFilter names a process by its id, or by its command name.
type ProcessFilter struct {
	pid  uint32
	comm Glob
}

func (f ProcessFilter) match(p *tracer.Process) bool {
	return f.pid != 0 && f.pid == p.PID || f.pid == 0 && f.comm.Match(p.Comm)
}

// Action tells whether an action is wanted.
func (f *Filter) Action(a *tracer.Action) bool {
	if len(f.Causes) > 0 && !cause.Needed(a) {
		return false
	}
	return f.threads(a) && f.who(a) &&
		anyOf(f.Actions, a.Kind) && anyOf(f.Outcomes, a.Outcome) &&
		MatchAny(f.Modules, modname.Normal(a.Module))
}

// Cause is asked when it is known, which takes a look around: after all else.
func (f *Filter) Cause(c *cause.Cause) bool {
	return len(f.Causes) == 0 || c != nil && slices.Contains(f.Causes, c.Code)
}

// threads asks after the thread that did it, one that asked for it, or who had one of these made.
func (f *Filter) threads(a *tracer.Action) bool {
	if f.Thread(a.Thread) || f.creators(a.Actor) {
		return true
	}
	for r := range a.Requesters() {
		if f.Thread(r.Thread) || f.creators(r.Actor) {
			return true
		}
	}
	return false
}

func (f *Filter) creators(a *tracer.Actor) bool {
	for by := range a.Creators() {
		if f.Thread(by.Thread()) {
			return true
		}
	}
	return false
}

// who asks after processes: the one that did it with its ancestors, and those for
// whose sake it was done. One of them must be all that is asked for.
func (f *Filter) who(a *tracer.Action) bool {
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
func (f *Filter) requested(a *tracer.Action) bool {
	asked := func(who *tracer.Actor) bool {
		return anyMade(who, func(a *tracer.Actor) bool {
			return slices.ContainsFunc(f.requesters, func(p ProcessFilter) bool { return p.match(&a.Process) })
		})
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

// anyMade tells whether something holds for an actor, or for one of those that had its kernel
// thread made.
func anyMade(a *tracer.Actor, holds func(*tracer.Actor) bool) bool {
	if a == nil {
		return false
	}
	if holds(a) {
		return true
	}
	for by := range a.Creators() {
		if holds(by) {
			return true
		}
	}
	return false
}

func (f *Filter) actor(a *tracer.Actor) bool {
	return anyMade(a, func(a *tracer.Actor) bool {
		return f.login(a) && f.container(a) && f.unit(a) && f.ancestor(a)
	})
}

func (f *Filter) login(a *tracer.Actor) bool {
	return len(f.logins) == 0 || a.LoginUID != nil && slices.Contains(f.logins, *a.LoginUID)
}

// container matches the beginning of an id, a runtime, or any container.
func (f *Filter) container(a *tracer.Actor) bool {
	c := a.Cgroup.Container
	return len(f.containers) == 0 || slices.ContainsFunc(f.containers, func(wanted string) bool {
		if wanted == AnyContainer {
			return render.ContainerText(&a.Process) != ""
		}
		return c != nil && (strings.HasPrefix(c.ID, wanted) || c.Runtime == wanted)
	})
}

// AnyContainer stands for every container.
const AnyContainer = "any"

func (f *Filter) unit(a *tracer.Actor) bool {
	return len(f.units) == 0 || a.Cgroup.Unit != "" && MatchAny(f.units, a.Cgroup.Unit) ||
		a.Cgroup.UserUnit != "" && MatchAny(f.units, a.Cgroup.UserUnit)
}

func (f *Filter) ancestor(a *tracer.Actor) bool {
	return len(f.ancestors) == 0 || slices.ContainsFunc(f.ancestors, func(p ProcessFilter) bool {
		return p.match(&a.Process) || slices.ContainsFunc(a.Ancestors, func(up tracer.Process) bool { return p.match(&up) })
	})
}

// Thread is what an event alone can be asked.
func (f *Filter) Thread(t tracer.Thread) bool {
	return (anyOf(f.pids, t.PID) || anyOf(f.pids, t.TID)) && anyOf(f.uids, t.UID) && MatchAny(f.comms, t.Comm)
}

// OfActions tells whether the filter asks for what only a finished action has.
func (f *Filter) OfActions() bool {
	return len(f.Modules)+len(f.Actions)+len(f.Outcomes)+len(f.Causes)+
		len(f.logins)+len(f.containers)+len(f.units)+len(f.ancestors)+len(f.requesters) > 0 || f.autoloaded != nil
}

func anyOf[T comparable](wanted []T, v T) bool {
	return len(wanted) == 0 || slices.Contains(wanted, v)
}

// MatchAny reports whether a name matches one of the globs. Without globs, every name matches.
func MatchAny(globs []Glob, name string) bool {
	return len(globs) == 0 || slices.ContainsFunc(globs, func(g Glob) bool { return g.Match(name) })
}

// Glob is a pattern of path.Match that is known to be one.
type Glob string

// ParseGlob reads a glob, and refuses one that nothing matches.
func ParseGlob(s string) (Glob, error) {
	if s == "" {
		return "", cli.Usagef("an empty glob matches nothing")
	}
	if _, err := path.Match(s, ""); err != nil {
		return "", cli.Usagef("%s: not a glob: %w", cells.Short(s), err)
	}
	return Glob(s), nil
}

// parseModuleGlob takes '-' for '_', as the kernel does, but not inside [a-z].
func parseModuleGlob(s string) (Glob, error) {
	g, err := ParseGlob(s)
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
	return Glob(text), nil
}

// Match treats '/', which path.Match sets apart, as any other character.
func (g Glob) Match(name string) bool {
	const stand = "\x00"
	ok, err := path.Match(strings.ReplaceAll(string(g), "/", stand), strings.ReplaceAll(name, "/", stand))
	return ok && err == nil
}
