package main

import (
	"strings"

	"github.com/kmodtrace/kmodtrace/proof"
)

// reload renders what a reload came to: the blocks of its steps, what became of the
// parameters, and which copy is in the kernel.
func (t *resultText) reload(r *reloadResult) string {
	var lines []line
	for _, part := range r.parts() {
		for i := range part.Actions {
			lines = append(lines, t.block(&part.Actions[i], part != r.decisive())...)
		}
	}
	if r.Cause != nil && (r.decisive() == nil || !tellsCause(r.decisive())) {
		lines = append(lines, t.causeLines(r.Cause, bad)...)
	}
	if r.Load != nil {
		lines = append(lines, t.taken(r.Params)...)
	}
	return t.text(append(lines, r.nowLine(), r.verdictLine()))
}

// taken tells of the parameters what the events of the load do not: where they are from,
// and what was left out.
func (t *resultText) taken(p *takenParams) []line {
	var lines []line
	if p.From == paramsTaken && len(p.Params) > 0 {
		text := "taken over: " + p.Params.String()
		if !p.Exact {
			text += " (what the old copy showed, for it is not known what it was loaded with)"
		}
		lines = append(lines, t.wrapped("params", plain, text)...)
	}
	for i, left := range p.Left {
		lines = append(lines, t.wrapped(first(i, "left out"), unsure, left.Name+": "+left.Why)...)
	}
	return lines
}

func (r *reloadResult) verdictLine() line {
	l := line{}.add(plain, r.Command+" "+r.Target+": ")
	switch r.Verdict {
	case proof.Confirmed:
		l = l.add(good, string(r.Verdict)).add(plain, " by the kernel's own events")
	case proof.Refused:
		l = l.add(bad, strings.TrimSpace(string(r.Verdict)+" "+r.ErrnoName))
	case down:
		l = l.add(bad, string(r.Verdict))
	default:
		l = l.add(unsure, string(r.Verdict))
	}
	return l
}

// nowLine says which copy is in the kernel.
func (r *reloadResult) nowLine() line {
	s := good
	switch {
	case r.Verdict == down, r.After.Copy == copyUnfinished:
		s = bad
	case r.Verdict != proof.Confirmed:
		s = unsure
	}
	l := labelled("now", s, r.After.Copy.String())
	if id := shortBuild(r.After); id != "" {
		l = l.add(dim, " ("+id+")")
	}
	return l
}

// shortBuild names a build, as long as it takes to tell it from others.
func shortBuild(c newCopy) string {
	switch {
	case len(c.BuildID) >= 12:
		return "build " + c.BuildID[:12]
	case c.SrcVersion != "":
		return "sources " + c.SrcVersion
	}
	return ""
}
