package cause

import (
	"fmt"
	"strings"

	"github.com/kmodtrace/kmodtrace/oops"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// place is where a thread died, as the kernel printed it.
type place struct {
	function string // that failed, with its module in brackets; empty where that is not told
	own      bool   // it is of the module in question, or among its callers is one
	ended    bool   // the trace is there to its end
}

// placeOf reads the first oops among what a thread printed.
func placeOf(messages []string, module string) place {
	for _, r := range oops.Split(messages).Reports {
		if !r.Kind.Fatal() && !(r.Kind == oops.Backtrace && r.Incomplete) { // its headline may be lost
			continue
		}
		p := place{function: inWords(&r.Place), ended: !r.Incomplete}
		p.own = module != "" && r.OfModule(module) != nil
		return p
	}
	return place{}
}

func inWords(f *oops.Frame) string {
	if f.Module == "" || f.Function == "" {
		return f.Function
	}
	return f.Function + " [" + f.Module + "]"
}

// maxReported bounds the warnings that are made of the kernel's reports of one action.
const maxReported = 3

// reported warns of what the kernel reported in a load or an unload. What killed the thread is the
// cause itself.
func reported(a *tracer.Action, s func() *scene) []Cause {
	var list []Cause
	more := 0
	for _, r := range oops.Split(a.Messages).Reports {
		switch {
		case r.Kind == oops.Backtrace, r.Kind.Fatal() && a.Crashed:
			continue
		case len(list) == maxReported:
			more++
			continue
		}
		list = append(list, *s().reported(&r))
	}
	if more > 0 {
		last := &list[len(list)-1]
		last.Evidence = append(last.Evidence, fmt.Sprintf("and %d more", more))
	}
	return list
}

func article(noun string) string {
	if strings.ContainsRune("aeiou", rune(noun[0])) {
		return "an " + noun
	}
	return "a " + noun
}

func (s *scene) reported(r *oops.Report) *Cause {
	s.name("report", string(r.Kind))
	s.name("what", article(r.Kind.Words()))
	s.name("place", inWords(&r.Place))
	s.name("source", r.Place.Source)
	s.name("line", r.Place.Source[strings.LastIndexByte(r.Place.Source, '/')+1:])
	s.name("said", r.Said())
	s.prove("the kernel said: %s", r.Text)
	if by := r.CalledBy(); by != "" {
		s.prove("%s", by)
	}
	return s.say(KernelReported, sayKernelReported)
}
