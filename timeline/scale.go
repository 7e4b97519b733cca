package timeline

import (
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
)

// scale gives times their places on a line from 0 to 1. It is linear, but where one span
// leaves less than a fifth to all others: the line is broken inside that span then, which
// gets three tenths of it, or what it takes for its bar to stay the longest. Where the line begins after 0 or ends before 1, the rest stands
// for what is not known.
type scale struct {
	total    time.Duration
	from, to time.Duration // of the break; equal where there is none
	share    float64       // of the line, for the break
	begin    float64       // the place of zero
	end      float64       // the place of total
}

const (
	breakFrom  = 0.8  // of the time: a span with more is broken
	breakPlace = 0.3  // of the line: what such a span gets at least
	openPlace  = 0.12 // of the line: what is not known gets
)

func newScale(a *Action) scale {
	s := scale{total: a.Known, end: 1}
	if a.Open {
		s.end -= openPlace
	}
	if a.Partial {
		s.begin += openPlace
	}
	for _, span := range a.Spans {
		if len(a.Spans) > 2 && !span.Open && float64(span.Took) > breakFrom*float64(s.total) && span.Took < s.total {
			s.from, s.to = span.After, span.After+span.Took
		}
	}
	if s.broken() {
		s.share = shareOfBreak(a.Spans, s)
	}
	return s
}

// shareOfBreak gives what the broken span gets of the line: never less than any other.
func shareOfBreak(spans []Span, s scale) float64 {
	var next time.Duration
	for _, span := range spans {
		if span.After != s.from {
			next = max(next, span.Took)
		}
	}
	part := float64(next) / float64(s.total-(s.to-s.from)) // of what is not broken
	return max(breakPlace, 1.05*part/(1+part))
}

// commonScale is for several actions on one line.
func commonScale(p *Picture) scale {
	s := scale{total: p.Took, end: 1}
	for _, a := range p.Actions {
		if a.Open {
			s.end = 1 - openPlace
		}
	}
	return s
}

func (s scale) broken() bool { return s.to > s.from }

// at gives the place of a time, within [0, 1] whatever it is.
func (s scale) at(t time.Duration) float64 {
	t = min(max(t, 0), s.total)
	if s.total <= 0 {
		return s.begin
	}
	rate := s.rate()
	switch {
	case !s.broken(), t <= s.from:
		return s.begin + rate*float64(t)
	case t < s.to:
		return s.begin + rate*float64(s.from) + s.length()*s.share*float64(t-s.from)/float64(s.to-s.from)
	}
	return s.begin + rate*float64(t-s.to+s.from) + s.length()*s.share
}

func (s scale) length() float64 { return s.end - s.begin }

// rate is the line for a nanosecond, outside the break.
func (s scale) rate() float64 {
	if !s.broken() {
		return s.length() / float64(s.total)
	}
	return s.length() * (1 - s.share) / float64(s.total-(s.to-s.from))
}

// tick is a labelled place.
type tick struct {
	place float64
	label string
}

// ticks gives round times, at least gap of the line apart.
func (s scale) ticks(gap float64) []tick {
	if s.total <= 0 {
		return []tick{{s.begin, "0"}}
	}
	step := roundStep(gap / s.rate())
	var list []tick
	for t := time.Duration(0); t <= s.total; t += step {
		if s.broken() && t > s.from && t < s.to {
			t = s.to - s.to%step // goes on at the first one after the break
			continue
		}
		if n := len(list); n == 0 || s.at(t)-list[n-1].place >= 0.99*gap {
			list = append(list, tick{s.at(t), tickLabel(t, step)})
		}
	}
	return list
}

// roundStep gives the first of 1, 2, 5, 10, 20, … nanoseconds that is not less.
func roundStep(least float64) time.Duration {
	for unit := time.Duration(1); ; unit *= 10 {
		for _, n := range []time.Duration{1, 2, 5} {
			if float64(n*unit) >= least || unit >= 1<<59 {
				return n * unit
			}
		}
	}
}

// tickLabel is a time with no more digits than its step needs.
func tickLabel(t, step time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "µs"}} {
		if t == 0 {
			return "0"
		}
		if t < u.unit && step < u.unit {
			continue
		}
		digits := 0
		for rest := u.unit; step < rest; rest /= 10 {
			digits++
		}
		return decimal(float64(t)/float64(u.unit), digits) + u.name
	}
	return cells.Duration(t)
}
