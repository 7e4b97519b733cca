package cause

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/lazyregexp"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// rule is a row of the table: what evidence makes a cause, and how it is said.
type rule struct {
	code Code
	when when
	// say is the sentence, and next what to do; empty for the code's own. {name} is
	// filled in, and a part in [brackets] is left out where a name in it has no value.
	say, next string
	// look is the extra look that finds more names and evidence.
	look func(*scene)
}

// when is evidence that must all be there. An empty field asks for nothing.
type when struct {
	kind   tracer.ActionKind // of the action; zero for a load
	stages []tracer.Stage    // in which it ended; before for none
	errnos []unix.Errno
	text   *lazyregexp.Regexp // what its thread printed; groups are names
	fact   *fact
	// alone says that stage and errno decide by themselves. Otherwise a rule with
	// neither text nor fact only is a possibility.
	alone bool
}

// before stands for no stage at all: the attempt ended before the bytes were read.
const before tracer.Stage = 0

// fact is a question about the attempt, the file or the kernel.
type fact struct {
	// says is the evidence when the answer is yes; {name} is filled in.
	says  string
	holds func(*scene) answer
}

// answer is that of a fact. The zero value is: cannot be known.
type answer uint8

const (
	unsure answer = iota
	no
	yes
)

func answerOf(b bool) answer {
	if b {
		return yes
	}
	return no
}

// concerns tells whether the rule is for actions that ended like this one. Of all rules
// few are.
func (w *when) concerns(a *tracer.Action) bool {
	kind := w.kind
	if kind == 0 {
		kind = tracer.Load
	}
	return a.Kind == kind && (w.stages == nil || slices.Contains(w.stages, a.Stage)) &&
		(w.errnos == nil || slices.Contains(w.errnos, a.Errno))
}

// match says how a rule that concerns a scene's action fits it: no, unsure (nothing
// contradicts it), or yes.
func (r *rule) match(s *scene) answer {
	w := &r.when
	decided := w.alone
	if w.text != nil {
		switch {
		case s.find(w.text):
			decided = true
		case s.heardAll() && w.fact == nil:
			return no
		case w.fact == nil:
			decided = false
		}
	}
	if w.fact != nil && !decided {
		switch w.fact.holds(s) {
		case no:
			return no
		case yes:
			decided = true
		}
	}
	if decided {
		return yes
	}
	return unsure
}
