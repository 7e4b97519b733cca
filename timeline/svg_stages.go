package timeline

import (
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// axis writes the ticks of a scale above rows, and draws their lines through them.
func (c *canvas) axis(s scale, rows int) {
	c.y += 20
	bottom := c.y + 6 + rows*rowHeight
	for _, t := range s.ticks(0.16) {
		anchor := "middle"
		switch {
		case t.place < 0.06:
			anchor = "start"
		case t.place > 0.94:
			anchor = "end"
		}
		c.write("tick", anchor, t.place, 0, c.y, t.label)
		c.line("grid", t.place, c.y+5, bottom)
	}
	if s.broken() {
		c.rect("broken", s.at(s.from), s.at(s.to), c.y+5, bottom-c.y-5, "not to scale: "+cells.Duration(s.to-s.from)+" are drawn here")
	}
	c.y += 6
}

// together has a bar for each action, where there are several.
func (c *canvas) together(p *Picture) {
	if len(p.Actions) < 2 {
		return
	}
	c.part("Together")
	s := commonScale(p)
	c.axis(s, len(p.Actions))
	for _, a := range p.Actions {
		class := "kernel"
		switch {
		case a.Outcome == tracer.Failed:
			class = "failed"
		case a == p.Main:
			class = "own"
		}
		name := a.name()
		if a.Kind != tracer.Load {
			name = a.Kind.String() + " " + name
		}
		name = fontOf("label").cut(name, 0.4*narrow)
		label := name + " " + cells.Duration(a.Known)
		if a.Outcome == tracer.Failed {
			label = name + " ✕ " + a.ErrnoName
		}
		c.bar(class, s.at(a.After), s.at(a.After+a.Known), label, a.name()+": "+a.outcome()+", "+a.took())
		if a.Open {
			c.hatch(s.at(a.After+a.Known), 1)
		}
		c.y += rowHeight
	}
}

// stages has a bar for each span of an action, and the moments of its messages below.
func (c *canvas) stages(a *Action) {
	c.part(stagesHeading(a))
	s := newScale(a)
	groups := cluster(a.Marks, s, func(n int) float64 { return float64(n*9+6) / narrow })
	top := c.y + 26
	c.axis(s, len(a.Spans))
	for _, g := range groups {
		c.line("moment", s.at(a.Marks[g.first].At), top, top+len(a.Spans)*rowHeight+4)
	}
	for i := range a.Spans {
		c.span(a, &a.Spans[i], s)
		c.y += rowHeight
	}
	if len(groups) > 0 {
		c.y += 18
		for _, g := range groups {
			place, anchor := s.at(a.Marks[g.first].At), "start"
			if place+float64(len(g.label())*9)/narrow > 1 {
				anchor = "end"
			}
			c.write("moment-label", anchor, place, 0, c.y, g.label())
			if last := s.at(a.Marks[g.last].At); g.last > g.first {
				c.rect("moments", place, last, c.y-13, 2, "messages "+g.label())
			}
		}
		c.y += 4
	}
	c.legend(a, s)
}

func stagesHeading(a *Action) string {
	if len(a.Stages) == 0 {
		return "The call"
	}
	return "Stage by stage"
}

func (c *canvas) span(a *Action, span *Span, s scale) {
	class := [...]string{Call: "call", Kernel: "kernel", Own: "own"}[span.Whose]
	label := span.label()
	if span.Failed {
		class, label = "failed", span.Name+" ✕ "+a.ErrnoName+" "+cells.Duration(span.Took)
	}
	title := span.Name + ": " + span.took() + ", " + since(span.After) + ". This stage " + span.Does
	if span.Open {
		c.label(s.at(span.After), 1, label)
		c.hatch(s.at(span.After), 1)
		return
	}
	if span.Partly {
		c.hatch(0, s.begin)
	}
	c.bar(class, s.at(span.After), s.at(span.After+span.Took), label, title)
	if s.broken() && span.After == s.from {
		c.at((s.at(s.from)+s.at(s.to))/2, c.y, "cut", "M-8,20 L-2,-2 L4,-2 L-2,20 Z M2,20 L8,-2 L14,-2 L8,20 Z")
	}
}

// bar draws a row with its label beside it, or on it. What is too short to be seen is a
// line with a head, which is not to scale.
func (c *canvas) bar(class string, from, to float64, label, title string) {
	c.rect("bar "+class, from, to, c.y, barHeight, title)
	if (to-from)*narrow < 2 {
		c.at(from, c.y, "short "+class, "M0,0 h3 v16 h-3 z M-2,0 h7 l-3.5,5 z")
	}
	c.label(from, to, label)
}

// label finds the place for what is written beside a bar: behind it, else before it, else
// on it.
func (c *canvas) label(from, to float64, label string) {
	width := (fontOf("label").pixels(label) + 10) / narrow
	switch {
	case to+width <= 1:
		c.write("label", "start", to, 7, c.y+13, label)
	case from-width >= 0:
		c.write("label", "end", from, -7, c.y+13, label)
	default:
		c.write("label on", "start", from, 7, c.y+13, label)
	}
}

func (c *canvas) hatch(from, to float64) {
	c.printf(`<rect x="%s" width="%s" y="%d" height="%d" style="fill:url(#%s-hatch)"><title>not known</title></rect>`+"\n", percent(from), percent(to-from), c.y, barHeight, c.id)
}

// legend says how to read what is there.
func (c *canvas) legend(a *Action, s scale) {
	c.y += 4
	if s.broken() {
		c.paragraph("note", 15, "The axis is broken where it is grey: "+cells.Duration(s.to-s.from)+" are drawn shorter there. All else is to scale.")
	}
	for _, span := range a.Spans {
		if !span.Open && (s.at(span.After+span.Took)-s.at(span.After))*narrow < 2 {
			c.paragraph("note", 15, "A line with a head is a stage that is too short for this scale.")
			break
		}
	}
	if a.Open || a.Partial {
		c.paragraph("note", 15, "Hatched: nobody saw how long.")
	}
}
