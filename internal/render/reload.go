package render

import (
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/reload"
)

// Reload renders what a reload came to: the blocks of its steps, what became of the
// parameters, and which copy is in the kernel.
func (t *ResultText) Reload(r *reload.Result) string {
	var lines []cells.Line
	for _, part := range r.Steps() {
		for i := range part.Actions {
			lines = append(lines, t.Block(&part.Actions[i], part != r.Decisive())...)
		}
	}
	if r.Cause != nil && (r.Decisive() == nil || !tellsCause(r.Decisive())) {
		lines = append(lines, t.CauseLines(r.Cause, cells.Bad)...)
	}
	if r.Load != nil {
		lines = append(lines, t.taken(r.Params)...)
	}
	return t.Text(append(lines, nowLine(r), reloadVerdictLine(r)))
}

// taken tells of the parameters what the events of the load do not: where they are from,
// and what was left out.
func (t *ResultText) taken(p *reload.Params) []cells.Line {
	var lines []cells.Line
	if p.From == reload.ParamsTaken && len(p.Params) > 0 {
		text := "taken over: " + p.Params.String()
		if !p.Exact {
			text += " (what the old copy showed, for it is not known what it was loaded with)"
		}
		lines = append(lines, t.Wrapped("params", cells.Plain, text)...)
	}
	for i, left := range p.Left {
		lines = append(lines, t.Wrapped(first(i, "left out"), cells.Unsure, left.Name+": "+left.Why)...)
	}
	return lines
}

func reloadVerdictLine(r *reload.Result) cells.Line {
	l := cells.Line{}.Add(cells.Plain, r.Command+" "+r.Target+": ")
	switch r.Verdict {
	case proof.Confirmed:
		l = l.Add(cells.Good, string(r.Verdict)).Add(cells.Plain, " by the kernel's own events")
	case proof.Refused:
		l = l.Add(cells.Bad, strings.TrimSpace(string(r.Verdict)+" "+r.ErrnoName))
	case reload.Down:
		l = l.Add(cells.Bad, string(r.Verdict))
	default:
		l = l.Add(cells.Unsure, string(r.Verdict))
	}
	return l
}

// nowLine says which copy is in the kernel.
func nowLine(r *reload.Result) cells.Line {
	s := cells.Good
	switch {
	case r.Verdict == reload.Down, r.After.Copy == reload.CopyUnfinished:
		s = cells.Bad
	case r.Verdict != proof.Confirmed:
		s = cells.Unsure
	}
	l := Labelled("now", s, r.After.Copy.String())
	if id := shortBuild(r.After); id != "" {
		l = l.Add(cells.Dim, " ("+id+")")
	}
	return l
}

// shortBuild names a build, as long as it takes to tell it from others.
func shortBuild(c reload.After) string {
	switch {
	case len(c.BuildID) >= 12:
		return "build " + c.BuildID[:12]
	case c.SrcVersion != "":
		return "sources " + c.SrcVersion
	}
	return ""
}
