package timeline

import (
	"time"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// Span is a part of an action.
type Span struct {
	Name  string // the stage; enter and leave for what is before and after them
	Whose Whose
	// After is when it began, counted from the action's beginning.
	After time.Duration
	Took  time.Duration
	// Open says that its end was not seen: Took means nothing then.
	Open bool
	// Partly says that it began before that, nobody knows when.
	Partly bool
	// Failed says that this is where the action failed.
	Failed bool
	// Does says what the kernel does there.
	Does string
}

// Whose says whose code ran, in the first place.
type Whose uint8

// The kinds of spans.
const (
	Call   Whose = iota // the system call around the stages
	Kernel              // the kernel works on the module
	Own                 // the module's own code
)

// spansOf cuts an action into spans without gaps, as far as its stages are known.
func spansOf(a *Action) []Span {
	var spans []Span
	at := time.Duration(0)
	for i, s := range a.Stages {
		s.After, s.Took = sane(s.After), sane(s.Took)
		if s.After > at && (i > 0 || !a.Partial) {
			spans = append(spans, between(i, at, s.After))
		}
		span := Span{Name: s.Stage.String(), Whose: Kernel, After: s.After, Took: s.Took, Does: doesOf(s.Stage)}
		if s.Stage == tracer.StageInit {
			span.Whose = Own
		}
		last := i == len(a.Stages)-1
		span.Open = last && s.Took == 0 && a.Open
		span.Failed = last && a.Outcome == tracer.Failed
		at = s.After + s.Took
		spans = append(spans, span)
	}
	switch n := len(spans); {
	case n == 0:
		spans = []Span{{Name: a.Kind.String(), Took: a.Known, Open: a.Open, Partly: a.Partial, Failed: a.Outcome == tracer.Failed, Does: wholeDoes(a)}}
	case !a.Open && at < a.Known:
		spans = append(spans, Span{Name: "leave", After: at, Took: a.Known - at, Does: "ends the system call: frees what only the load needed"})
	}
	return spans
}

// between is what lies before the first stage, or between two.
func between(i int, from, to time.Duration) Span {
	s := Span{Name: "enter", After: from, Took: to - from, Does: "begins the system call: privileges, the file, security modules"}
	if i > 0 {
		s.Name, s.Does = "between", "between two stages that were seen"
	}
	return s
}

func doesOf(s tracer.Stage) string {
	return map[tracer.Stage]string{
		tracer.StageRead:     "reads the file's bytes into memory",
		tracer.StageVerify:   "checks signature, ELF headers, version and name, and makes room for the module",
		tracer.StageResolve:  "finds every symbol that the module needs",
		tracer.StageRelocate: "writes the addresses into its code and data",
		tracer.StageFinalize: "readies its code for this processor, and protects its memory",
		tracer.StageParams:   "gives its parameters their values",
		tracer.StageSysfs:    "makes /sys/module/NAME",
		tracer.StageInit:     "runs the module's own init",
	}[s]
}

func wholeDoes(a *Action) string {
	switch a.Kind {
	case tracer.Unload:
		return "runs the module's own exit, and frees its memory"
	case tracer.Autoload:
		return "has a helper load what somebody needs"
	}
	return "between the system call and its answer; no stage was seen"
}
