package record

import (
	"context"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/addr2line"
	"github.com/kmodtrace/kmodtrace/oops"
	"github.com/kmodtrace/kmodtrace/provenance"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// Printed is what was printed during an action: a message, or a report of the kernel's, which is
// some forty messages.
type Printed struct {
	// Text is the message; a report's is its summary.
	Text   string
	Report *oops.Report // nil for a message
	// After is when it was printed, counted from the start of the action. It means nothing unless
	// Timed.
	After time.Duration
	Timed bool
	Level tracer.Level // of a message
}

// Printed gives what was printed, in its order.
func (r *Record) Printed() []Printed {
	parts := oops.Split(r.Messages)
	reports, from := r.Reports, parts.From
	switch {
	case len(reports) == 0: // not kept, by an earlier release
		reports = r.timed(parts)
	case len(reports) != len(parts.Reports): // the messages were shortened
		from = make([]int, len(reports))
	}
	var printed []Printed
	add := func(p Printed, from int) {
		if p.Report != nil && p.Report.After != nil {
			p.After, p.Timed = *p.Report.After, true
		} else if p.Timed = len(r.MessageTimes) == len(r.Messages) && from < len(r.Messages); p.Timed {
			p.After = r.MessageTimes[from]
		}
		printed = append(printed, p)
	}
	next := 0
	upTo := func(message int) {
		for ; next < len(reports) && from[next] <= message; next++ {
			add(Printed{Text: reports[next].Summary(), Report: &reports[next]}, from[next])
		}
	}
	last := -1
	for _, m := range parts.Messages {
		upTo(m.From)
		if last == m.From && printed[len(printed)-1].Report == nil {
			printed[len(printed)-1].Text += "\n" + m.Text // a message of several lines
			continue
		}
		last = m.From
		add(Printed{Text: m.Text, Level: r.MessageLevel(m.From)}, m.From)
	}
	upTo(len(r.Messages))
	return printed
}

// readReports finds the reports among the messages.
func (r *Record) readReports() {
	if len(r.Reports) == 0 && len(r.Messages) > 0 {
		r.Reports = r.timed(oops.Split(r.Messages))
	}
}

// maxDebug is how much debug information of a module is read.
const maxDebug = 64 << 20

// nameLines adds to the places in the module that was loaded their lines of source, where its file has
// debug information.
func (r *Record) nameLines(ctx context.Context, file *provenance.Subject) {
	var places []*oops.Frame
	for i := range r.Reports {
		report := &r.Reports[i]
		for _, at := range append(pointers(report.Frames), &report.Place) {
			if at.Module == r.Module && at.Module != "" && at.Source == "" && !at.Unsure {
				places = append(places, at)
			}
		}
	}
	if len(places) == 0 {
		return
	}
	image, err := file.Image(ctx)
	if err != nil {
		return
	}
	lines, err := addr2line.New(image, maxDebug)
	if err != nil {
		return
	}
	for _, at := range places {
		at.Source = lines.Function(at.Function, at.Instruction())
	}
}

func pointers(frames []oops.Frame) []*oops.Frame {
	all := make([]*oops.Frame, len(frames))
	for i := range frames {
		all[i] = &frames[i]
	}
	return all
}

// timed adds to reports when they were printed.
func (r *Record) timed(parts oops.Parts) []oops.Report {
	for i, from := range parts.From {
		if len(r.MessageTimes) == len(r.Messages) {
			after := r.MessageTimes[from]
			parts.Reports[i].After = &after
		}
	}
	return parts.Reports
}
