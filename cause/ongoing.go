package cause

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/lazyregexp"
	"github.com/kmodtrace/kmodtrace/internal/modname"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// An action that does not end has a cause too: what it waits for.

// The sentences of these causes.
const (
	sayInitRunning        = "the init of {module} has not returned for {since}[: it sleeps in {place}]"
	sayWaitsForRequest    = "the init of {module} has not returned for {since}: it waits for {other}"
	sayWaitsForDependency = "{module} has waited for {since} for a module that it needs[: the init of {owner} has not returned]"
	sayWaitsForSameFile   = "{module} has waited for {since} for another load of the same file, {other}"
	sayWaitsForSameName   = "{module} has waited for {since} for {other}"
	sayWaitsForSomebody   = "{module} has waited for {since} for a module of that name, which is {state}"
	sayHelperRunning      = "the helper that is to load {module} has not ended for {since}[: it waits for {other}]"
	sayExitStuck          = "the exit of {module} has not come back[ for {since}][: it sleeps in {place}]"
	sayUnderWay           = "it has been under way for {since}[, at stage {stage}][: its thread sleeps in {place}]"
	sayUnderWayAfterInit  = "the init of {module} returned, and the kernel has not ended the load after {since}[: its thread sleeps in {place}]"
	sayUnderWayAsync      = "the init of {module} returned, and the kernel has waited until {since} after the start for what it began asynchronously"
)

// ongoing gives what an action that has not ended waits for.
func (q *question) ongoing(ctx context.Context) *Cause {
	s := q.scene(ctx)
	s.sleeps()
	switch s.action.Kind {
	case tracer.Unload:
		return s.ongoingUnload()
	case tracer.Autoload:
		return s.ongoingRequest()
	}
	return s.ongoingLoad()
}

// sleeps names and proves where the thread was seen to sleep.
func (s *scene) sleeps() {
	o := s.action.Ongoing
	s.name("since", shortSpan(o.After))
	s.name("who", fmt.Sprintf("%s[%d]", s.action.Thread.Comm, s.action.Thread.PID))
	if len(o.Stack) == 0 {
		s.prove("where its thread was is not known: it ran, or the kernel does not tell")
		return
	}
	frames := make([]string, len(o.Stack))
	for i, f := range o.Stack {
		frames[i] = functionOf(f)
	}
	s.name("place", placeIn(frames))
	s.prove("its thread slept in %s", strings.Join(frames[:min(len(frames), 8)], ", called by "))
}

// offset is what follows a function's name, but for the name of its module.
var offset = lazyregexp.New(`\+0x[0-9a-f]+/0x[0-9a-f]+`)

func functionOf(frame string) string { return offset.ReplaceAllString(frame, "") }

// placeIn is the function in which a thread sleeps, and the first of a module that led there.
func placeIn(frames []string) string {
	for _, f := range frames[1:] {
		if strings.HasSuffix(f, "]") && !strings.HasSuffix(frames[0], "]") {
			return frames[0] + ", called by " + f
		}
	}
	return frames[0]
}

// sleptIn tells whether the thread slept inside a function of the kernel.
func (s *scene) sleptIn(function string) bool {
	return slices.ContainsFunc(s.action.Ongoing.Stack, func(f string) bool { return functionOf(f) == function })
}

// other names what the action waits for, and what that waits for in turn.
func (s *scene) other() bool {
	w := s.action.Ongoing.WaitsFor
	if w == nil {
		return false
	}
	var parts []string
	for ; w != nil; w = w.WaitsFor {
		parts = append(parts, awaitedText(w))
	}
	s.name("other", strings.Join(parts, ", which waits for "))
	s.prove("not ended either: %s", strings.Join(parts, "; "))
	return true
}

func awaitedText(w *tracer.Awaited) string {
	if w.Kind == tracer.Autoload {
		return "the request for " + w.Module
	}
	text := fmt.Sprintf("the %v of %s by %s[%d]", w.Kind, w.Module, w.Thread.Comm, w.Thread.PID)
	if w.Stage != 0 {
		text += fmt.Sprintf(" (stage %v)", w.Stage)
	}
	return text
}

func (s *scene) ongoingUnload() *Cause {
	if leaving(s) == yes {
		s.prove("the kernel let it go and has not freed it")
		return s.say(ExitStuck, sayExitStuck)
	}
	return s.say(UnderWay, sayUnderWay)
}

func (s *scene) ongoingRequest() *Cause {
	if s.other() || s.sleptIn("call_usermodehelper_exec") {
		return s.say(HelperRunning, sayHelperRunning)
	}
	return s.say(UnderWay, sayUnderWay)
}

func (s *scene) ongoingLoad() *Cause {
	a := s.action
	if a.Stage != before {
		s.name("stage", a.Stage.String())
	}
	other := s.other()
	switch {
	case other && a.Ongoing.WaitsFor.Kind == tracer.Autoload:
		return s.say(WaitsForRequest, sayWaitsForRequest)
	case other && a.Stage == before:
		return s.say(WaitsForLoad, sayWaitsForSameFile)
	case other:
		return s.say(WaitsForLoad, sayWaitsForSameName)
	case a.Stage == tracer.StageVerify && a.Lookup != nil && a.Lookup.Found && a.Lookup.State != tracer.StateLive:
		s.name("state", a.Lookup.State.String())
		return s.say(WaitsForLoad, sayWaitsForSomebody)
	case a.Stage == tracer.StageResolve && s.needsStarting():
		return s.say(WaitsForDependency, sayWaitsForDependency)
	case a.Saw(tracer.KindInitReturn), a.InitResult != nil:
		if s.sleptIn("async_synchronize_full") {
			return s.say(UnderWay, sayUnderWayAsync)
		}
		return s.say(UnderWay, sayUnderWayAfterInit)
	case a.Stage == tracer.StageInit:
		return s.say(InitRunning, sayInitRunning)
	}
	return s.say(UnderWay, sayUnderWay)
}

// needsStarting finds, among the modules that were starting, those that this one needs. The file
// names what it needs; where it cannot be read, only where the thread sleeps tells that it waits.
func (s *scene) needsStarting() bool {
	starting := s.action.Ongoing.Starting
	if len(starting) == 0 {
		return s.sleptIn("resolve_symbol")
	}
	file, err := s.inspect()
	if err != nil {
		return s.sleptIn("resolve_symbol")
	}
	var owners []string
	for _, needed := range file.Depends() {
		for i := range starting {
			if modname.Normal(needed) == starting[i].Module {
				owners = append(owners, starting[i].Module)
				s.prove("not ended either: %s", awaitedText(&starting[i]))
			}
		}
	}
	s.name("owner", strings.Join(owners, " or of "))
	return len(owners) > 0 || s.sleptIn("resolve_symbol")
}
