package trial

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// maxEvent is what a line may have. The longest true ones are of a command's output, and
// of much that was left.
const maxEvent = 4 << 20

// teller reads events as they come, and has them judged. The guest may be hostile: what its
// plan does not allow is the last that is read.
type teller struct {
	plan   Plan
	inside []string                   // the files' names in the guest
	within func(within time.Duration) // says when the machine is to be stopped at the latest
	judge  *judge

	ready  time.Time
	done   bool
	events int
	line   []byte // that has begun
	err    error  // the guest's own: it could not prepare itself
	broken string // why no more is read
}

func newTeller(p Plan, inside []string, within func(time.Duration)) *teller {
	return &teller{plan: p, inside: inside, within: within, judge: newJudge(p)}
}

var _ io.Writer = (*teller)(nil)

// Write takes what the guest prints.
func (t *teller) Write(text []byte) (int, error) {
	n := len(text)
	for len(text) > 0 && !t.over() {
		line, rest, whole := bytes.Cut(text, []byte("\n"))
		if len(t.line)+len(line) > maxEvent {
			t.breaks("the machine reported a line of more than %d bytes", maxEvent)
			break
		}
		t.line = append(t.line, line...)
		text = rest
		if whole {
			t.take(t.line)
			t.line = t.line[:0]
		}
	}
	return n, nil
}

// over says that nothing more is read.
func (t *teller) over() bool { return t.done || t.err != nil || t.broken != "" }

func (t *teller) breaks(format string, args ...any) {
	t.broken = fmt.Sprintf(format, args...)
	t.within(0)
}

func (t *teller) take(line []byte) {
	e, err := ParseEvent(line)
	if err != nil {
		t.breaks("the machine reported what is not an event: %.200q", line)
		return
	}
	if why := t.refuse(&e); why != "" {
		t.breaks("the machine reported %s: %.200q", why, line)
		return
	}
	switch {
	case e.Error != "":
		t.err = errors.New(cut(e.Error, maxWhy))
		t.within(0)
		return
	case e.Ready != nil:
		t.ready = time.Now()
	case e.Step == StepDone:
		t.done = true
	}
	switch {
	case t.done:
		t.within(endWithin)
	case !t.ready.IsZero():
		t.within(t.plan.Patience + settle + stepSlack)
	default:
		t.within(bootSilence)
	}
	t.judge.event(&e)
}

// refuse says why an event is not one of the plan's, and gives it the file's name here.
func (t *teller) refuse(e *Event) string {
	if t.events++; t.events > t.most() {
		return "more than its plan has"
	}
	ready := !t.ready.IsZero()
	inRound := e.Step == StepLoad || e.Step == StepUnload || e.Step == StepCommand || e.Step == StepLook
	ofFile := e.Step == StepLoad || e.Step == StepUnload
	tells := 0
	for _, told := range []bool{e.Result != nil, e.Command != nil, e.Left != nil, e.Error != "", e.Ready != nil, e.Begins, e.Step == StepDone} {
		if told {
			tells++
		}
	}
	switch {
	case !e.Step.known() || tells != 1:
		return "what is not a step"
	case e.Step == StepPrepare && ready, e.Step != StepPrepare && !ready:
		return "a step out of its order"
	case inRound && (e.Round < 1 || e.Round > t.plan.Times), !inRound && e.Round != 0:
		return "a round that is not in its plan"
	case e.Result != nil && !ofFile, e.Command != nil && e.Step != StepCommand, e.Left != nil && e.Step != StepLook,
		e.Ready != nil && e.Step != StepPrepare, e.Error != "" && e.Step != StepPrepare:
		return "what is not of that step"
	case !ofFile && e.Target != "":
		return "a file where there is none"
	case !ofFile:
		return ""
	}
	i := slices.Index(t.inside, e.Target)
	if i < 0 {
		return "a file that is not in its plan"
	}
	e.Target = t.plan.Files[i]
	return ""
}

// most is how many events a plan has: each step begins, and comes to something.
func (t *teller) most() int { return 2*t.plan.Times*(2*len(t.plan.Files)+2) + 4 }
