package timeline

import (
	"cmp"
	"slices"
	"time"

	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// Picture is what is drawn: one action, or a load with what was done for it before.
type Picture struct {
	// Actions are in the order of their beginnings.
	Actions []*Action
	// Main is the one that is drawn stage by stage: the last of its kind.
	Main *Action
	// Took is from the beginning of the first to the last moment that is known.
	Took time.Duration
}

// Action is one action of a picture.
type Action struct {
	*record.Record
	// Facts are nil where nobody gathered them: who has some adds them.
	Facts *Facts
	// After is when it began, counted from the picture's beginning.
	After time.Duration
	// Known is how long it is known to have been under way: Took, if its end was seen.
	Known time.Duration
	// Open says that it went on after that, nobody knows how long.
	Open  bool
	Spans []Span
	Marks []Mark
}

// Mark is a message at the moment at which it was printed, or a report of the kernel's with its callers.
type Mark struct {
	Text   string
	Report bool
	// At counts from the beginning of the action. It means nothing unless Timed.
	At    time.Duration
	Timed bool
	// During names the span that it was printed in.
	During string
}

// New makes a picture. It is nil where there is no action.
func New(records []record.Record) *Picture {
	if len(records) == 0 {
		return nil
	}
	p := new(Picture)
	for i := range records {
		p.Actions = append(p.Actions, newAction(&records[i]))
	}
	p.Main = p.main()
	slices.SortStableFunc(p.Actions, func(a, b *Action) int { return cmp.Compare(a.Start, b.Start) })
	first := p.Actions[0].Start
	for _, a := range p.Actions {
		a.After = sane(a.Start - first)
		p.Took = max(p.Took, a.After+a.Known)
	}
	return p
}

// main is the last load, or the last of all where there is none: what is there beside it
// are its dependencies, and requests of its own init.
func (p *Picture) main() *Action {
	for _, a := range slices.Backward(p.Actions) {
		if a.Kind == tracer.Load {
			return a
		}
	}
	return p.Actions[len(p.Actions)-1]
}

func newAction(of *record.Record) *Action {
	a := &Action{Record: of, Known: sane(of.Took), Open: of.End == 0 || of.EndLost}
	for _, s := range of.Stages {
		a.Known = max(a.Known, sane(s.After)+sane(s.Took))
	}
	for _, at := range of.MessageTimes {
		a.Known = max(a.Known, sane(at))
	}
	a.Spans = spansOf(a)
	a.Marks = marksOf(a)
	return a
}

// marksOf gives the messages, with their moments where those were recorded.
func marksOf(a *Action) []Mark {
	var marks []Mark
	for _, p := range a.Printed() {
		m := Mark{Text: p.Text, Timed: p.Timed}
		if r := p.Report; r != nil {
			m.Report = true
			if by := r.CalledBy(); by != "" {
				m.Text += "\n" + by
			}
		}
		if m.Timed {
			m.At = sane(p.After)
			m.During = a.during(m.At)
		}
		marks = append(marks, m)
	}
	return marks
}

func (a *Action) during(at time.Duration) string {
	for _, s := range a.Spans {
		if at >= s.After && (at < s.After+s.Took || s.Open) {
			return s.Name
		}
	}
	return ""
}

// Failed tells the span in which it failed; nil where it did not, or that is not known.
func (a *Action) Failed() *Span {
	i := slices.IndexFunc(a.Spans, func(s Span) bool { return s.Failed })
	if i < 0 {
		return nil
	}
	return &a.Spans[i]
}

// sane keeps a time from running backward, and sums of times from running over: a record
// may have been changed.
func sane(d time.Duration) time.Duration { return min(max(d, 0), 1<<56) }
