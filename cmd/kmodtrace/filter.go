package main

import (
	"path"
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// filter tells what a user wants to see. An empty field wants everything; values
// of one field are alternatives, and every field must agree.
type filter struct {
	modules  []glob
	comms    []glob
	actions  []tracer.ActionKind
	outcomes []tracer.Outcome
	pids     []uint32 // of processes or threads, in the first pid namespace
	uids     []uint32
	causes   []cause.Code
}

func (f *filter) action(a *tracer.Action) bool {
	if len(f.causes) > 0 && !cause.Needed(a) {
		return false
	}
	return f.thread(a.Thread) &&
		anyOf(f.actions, a.Kind) && anyOf(f.outcomes, a.Outcome) &&
		matchAny(f.modules, strings.ReplaceAll(a.Module, "-", "_"))
}

// cause is asked when it is known, which takes a look around: after all else.
func (f *filter) cause(c *cause.Cause) bool {
	return len(f.causes) == 0 || c != nil && slices.Contains(f.causes, c.Code)
}

// thread is what an event alone can be asked.
func (f *filter) thread(t tracer.Thread) bool {
	return (anyOf(f.pids, t.PID) || anyOf(f.pids, t.TID)) && anyOf(f.uids, t.UID) && matchAny(f.comms, t.Comm)
}

// ofActions tells whether the filter asks for what only a finished action has.
func (f *filter) ofActions() bool {
	return len(f.modules)+len(f.actions)+len(f.outcomes)+len(f.causes) > 0
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
		return "", usageErrorf("%s: not a glob: %w", shortText(s), err)
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
