package timeline

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// Doubts are those of all actions, each with the name of its module where there are several.
func (p *Picture) Doubts() []string {
	var doubts []string
	for _, a := range p.Actions {
		for _, d := range a.Doubts() {
			if len(p.Actions) > 1 {
				d = a.name() + ": " + d
			}
			doubts = append(doubts, d)
		}
	}
	if p.Main.Kind == tracer.Load && p.Main.Facts == nil {
		doubts = append(doubts, "Its sections, and who provides its symbols, are no part of what was recorded.")
	}
	return doubts
}

// Doubts say what the picture cannot show of an action, and why, so that nobody takes it for
// more than it is.
func (a *Action) Doubts() []string {
	var doubts []string
	add := func(when bool, format string, args ...any) {
		if when {
			doubts = append(doubts, fmt.Sprintf(format, args...))
		}
	}
	add(a.Partial, "It began before the tracing did: what was before its first event is not known, and times count from that.")
	add(a.Open, "Its end was not seen: how long it took is not known.")
	add(a.Lost > 0, "%d of its events were lost: a stage may be missing, and the one before it drawn longer than it was.", a.Lost)
	add(a.SharedWith != 0, "The kernel gave it the result of another load of the same file, which has the stages.")
	add(a.Partial && len(a.Stages) == 0 && a.Kind == tracer.Load, "None of its stages was seen.")
	unseen := unseenStages(a)
	add(len(unseen) > 0, "Not seen: %s. What these took is in the stage before.", strings.Join(unseen, ", "))
	add(len(a.Messages) > 0 && len(a.MessageTimes) != len(a.Messages), "When its messages were printed was not recorded: they are listed, and not drawn.")
	add(a.MessagesDropped > 0, "%d more messages were printed, and not kept.", a.MessagesDropped)
	add(a.FirstTry != nil, "Before it, the kernel refused the file as it was, compressed; it was handed over again, unpacked.")
	add(a.Cut, "Its record was too long and was shortened: texts that end in … were longer, and lists lack entries.")
	if a.Facts != nil {
		doubts = append(doubts, a.Facts.Doubts...)
	}
	return doubts
}

// unseenStages are those that the load must have passed, and no event shows.
func unseenStages(a *Action) []string {
	if a.Kind != tracer.Load || a.SharedWith != 0 || len(a.Stages) == 0 && (a.Outcome != tracer.Live || a.Partial) {
		return nil
	}
	first := tracer.StageRead
	if a.Partial {
		first = a.Stages[0].Stage
	}
	last := a.Stage
	if a.Outcome == tracer.Live {
		last = tracer.StageInit
	}
	var unseen []string
	for s := first; s <= last; s++ {
		if !slices.ContainsFunc(a.Stages, func(t tracer.StageTime) bool { return t.Stage == s }) {
			unseen = append(unseen, s.String())
		}
	}
	return unseen
}
