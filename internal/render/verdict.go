package render

import (
	"fmt"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/record"
)

// Verdict renders what is to be expected of a file.
func (t *ResultText) Verdict(v *cause.Verdict) string {
	words := map[cause.Judgement]struct {
		text  string
		style cells.Style
	}{
		cause.Loads: {"would be loaded", cells.Good}, cause.Refused: {"would be refused", cells.Bad}, cause.Undecided: {"cannot be told here", cells.Unsure},
	}
	w := words[v.Judgement]
	lines := []cells.Line{cells.Line{}.Add(cells.Strong, cells.OrDash(v.Module)).Spaced(w.style, w.text).Add(cells.Plain, fmt.Sprintf(" by kernel %s", v.Kernel))}
	lines = append(lines, Labelled("file", cells.Plain, cells.CutFront(cells.Printable(v.File), max(t.Width-labelColumns, 1))))
	if v.Cause != nil {
		lines = append(lines, t.CauseLines(v.Cause, cells.Bad)...)
		lines = append(lines, t.Evidence(v.Cause)...)
	}
	for i := range v.Warnings {
		lines = append(lines, t.Wrapped("warning", cells.Unsure, v.Warnings[i].String())...)
	}
	for i, text := range v.Open {
		lines = append(lines, t.Wrapped(first(i, "open"), cells.Unsure, text)...)
	}
	if v.Cause == nil {
		for i, text := range v.Later {
			lines = append(lines, t.Wrapped(first(i, "later"), cells.Dim, text)...)
		}
	}
	return t.Text(lines)
}

// Evidence lists what a cause was concluded from.
func (t *ResultText) Evidence(c *cause.Cause) []cells.Line {
	var lines []cells.Line
	for i, text := range c.Evidence {
		lines = append(lines, t.Wrapped(first(i, "evidence"), cells.Plain, text)...)
	}
	return lines
}

// Explanation is a block with everything about the cause.
func (t *ResultText) Explanation(e *record.Record) []cells.Line {
	lines := t.Block(e, true)
	if c := e.Cause; c != nil {
		lines = append(lines, t.Evidence(c)...)
		if m, ok := cause.MeaningOf(c.Code); ok {
			lines = append(lines, t.Wrapped("because", cells.Plain, m.Because)...)
		}
	}
	lines = append(lines, t.attribution(&e.Action)...)
	lines = append(lines, t.facts(e)...)
	lines = append(lines, t.timeline(&e.Action)...)
	return append(lines, cells.Line{})
}
