package timeline

import (
	"github.com/kmodtrace/kmodtrace/internal/cells"
)

// together draws the actions one below the other, where there are several.
func (t *textPage) together(p *Picture) {
	if len(p.Actions) < 2 {
		return
	}
	s := commonScale(p)
	t.axis("together", s)
	for _, a := range p.Actions {
		style := Plain
		if a == p.Main {
			style = Strong
		}
		r := newRow(t.room)
		from, to := s.at(a.After), s.at(a.After+a.Known)
		t.short = !r.bar(&t.glyphs, from, to) || t.short
		if a.Open {
			r.unknown(&t.glyphs, to, 1)
		}
		t.add(t.begin(style, a.name(), cells.Duration(a.Known)).Add(outcomeStyle(a), r.String()))
	}
}

// stages draws an action stage by stage.
func (t *textPage) stages(a *Action) {
	s := newScale(a)
	label := "stages"
	if len(a.Stages) == 0 {
		label = ""
	}
	t.axis(label, s)
	for i := range a.Spans {
		t.span(a, &a.Spans[i], s)
	}
	if labels := cluster(a.Marks, s, func(n int) float64 { return float64(n+1) / float64(t.room) }); len(labels) > 0 {
		r := newRow(t.room)
		for _, c := range labels {
			at := min(r.cell(s.at(a.Marks[c.first].At)), max(len(r)-len(c.label()), 0))
			for i, digit := range c.label() {
				r.put(at+i, digit)
			}
		}
		t.add(t.begin(Dim, "messages", "").Add(Unsure, r.String()))
	}
}

func (t *textPage) span(a *Action, span *Span, s scale) {
	r := newRow(t.room)
	style := Plain
	switch {
	case span.Failed:
		style = Bad
	case span.Whose == Own:
		style = Good
	case span.Whose == Call:
		style = Dim
	}
	from, to := s.at(span.After), s.at(span.After+span.Took)
	number := cells.Duration(span.Took)
	if span.Partly {
		number = ">" + number
	}
	if span.Open {
		number = "?"
		r.unknown(&t.glyphs, from, 1)
	} else {
		t.short = !r.bar(&t.glyphs, from, to) || t.short
	}
	if span.Partly {
		r.unknown(&t.glyphs, 0, s.begin)
	}
	if s.broken() && span.After == s.from {
		r.breakAt(&t.glyphs, s)
	}
	if span.Failed {
		r.put(min(r.cell(to)+1, len(r)-1), t.glyphs.fault)
	}
	t.add(t.begin(Plain, span.Name, number).Add(style, r.String()))
}

// axis draws the ticks of a scale, below their times.
func (t *textPage) axis(label string, s scale) {
	times, marks := newRow(t.room), newRow(t.room)
	for i := range marks {
		marks[i] = t.glyphs.axis
	}
	for i, tick := range s.ticks(10 / float64(t.room)) {
		at := marks.cell(tick.place)
		mark := t.glyphs.tick
		if i == 0 {
			mark = t.glyphs.start
		}
		marks.put(at, mark)
		text := []rune(tick.label)
		at = max(min(at, t.room-len(text)), 0)
		for j, c := range text {
			times.put(at+j, c)
		}
	}
	marks.breakAt(&t.glyphs, s)
	if s.end < 1 {
		marks.unknown(&t.glyphs, s.end, 1)
	}
	if s.begin > 0 {
		marks.unknown(&t.glyphs, 0, s.begin)
	}
	t.add(Line{})
	t.add(t.begin(Dim, label, "").Add(Dim, times.String()))
	t.add(t.begin(Plain, "", "").Add(Dim, marks.String()))
}
