package cause

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// The facts of an unload come from the kernel's own lookup of the module, under
// the lock under which it decided.

func builtIn(s *scene) answer {
	return answerOf(s.ask("the list of built-in modules").Builtin(s.action.Module))
}

func notBuiltIn(s *scene) answer {
	return answerOf(!s.ask("the list of built-in modules").Builtin(s.action.Module))
}

func heldByModules(s *scene) answer {
	l := s.action.Lookup
	if l == nil || l.Refs == nil {
		return unsure
	}
	if len(l.Holders) == 0 {
		return no
	}
	holders := strings.Join(l.Holders, ", ")
	if l.HoldersCut {
		holders += ", …"
	}
	s.name("holders", holders)
	return yes
}

func heldByReferences(s *scene) answer {
	l := s.action.Lookup
	if l == nil || l.Refs == nil {
		return unsure
	}
	if len(l.Holders) > 0 || *l.Refs <= 0 {
		return no
	}
	s.name("count", cells.Plural(int(*l.Refs), "reference"))
	return yes
}

// refcountNegative: for the result below zero the kernel has a BUG; where it was built without
// those it answers as for a module in use.
func refcountNegative(s *scene) answer {
	l := s.action.Lookup
	if l == nil || l.Refs == nil || l.State != tracer.StateLive || *l.Refs >= 0 || len(l.Holders) > 0 {
		return no
	}
	s.name("count", cells.Plural(int(*l.Refs), "reference"))
	return answerOf(s.action.Crashed || s.action.Errno == unix.EAGAIN)
}

func notLive(s *scene) answer {
	l := s.action.Lookup
	if l == nil || !l.Found {
		return unsure
	}
	s.name("state", map[tracer.State]string{
		tracer.StateComing: "its load is still under way", tracer.StateGoing: "an unload of it is under way",
		tracer.StateUnformed: "its load has just begun",
	}[l.State])
	return answerOf(l.State != tracer.StateLive)
}

func noExit(s *scene) answer {
	l := s.action.Lookup
	if l == nil || l.Refs == nil {
		return unsure
	}
	return answerOf(l.State == tracer.StateLive && l.HasInit && !l.HasExit)
}

// leaving: the kernel has found it in a state to go, and has not freed it.
func leaving(s *scene) answer {
	a := s.action
	l := a.Lookup
	if a.Outcome != tracer.Pending || a.EndLost || l == nil || l.Refs == nil {
		return no
	}
	if l.State != tracer.StateLive || *l.Refs != 0 || len(l.Holders) > 0 || !l.HasExit || a.Saw(tracer.KindFree, tracer.KindModuleFree) {
		return no
	}
	if s.live && a.Ongoing == nil {
		s.name("since", shortSpan(tracer.SinceBoot()-a.Start))
	}
	return yes
}
