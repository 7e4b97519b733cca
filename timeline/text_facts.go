package timeline

import (
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// failure says where it stopped, and why.
func (t *textPage) failure(a *Action) {
	if a.Outcome != tracer.Failed {
		return
	}
	t.add(Line{})
	if s := a.Failed(); s != nil {
		t.say("stopped", Bad, stoppedText(a, s))
	}
	if a.Cause != nil {
		t.say("cause", Bad, a.Cause.String())
		t.say("next", Plain, a.Cause.Next)
	}
}

func (t *textPage) messages(a *Action) {
	if len(a.Marks) == 0 {
		return
	}
	t.add(Line{})
	t.add(Line{}.Add(Plain, strings.Repeat(" ", indent)).Add(Dim, "messages"))
	for i, m := range a.Marks[:min(len(a.Marks), maxListed)] {
		at := "?"
		if m.Timed {
			at = since(m.At)
		}
		number := bytesText(uint64(i + 1))
		for _, text := range someTexts(m.Text) {
			l := Line{}.Add(Plain, strings.Repeat(" ", indent)).CellRight(Unsure, number, 3).CellRight(Plain, at, tookColumns).Cell(Dim, m.During, len("relocate"))
			for _, part := range cells.Wrap(text, t.width-cells.Count(l.String())) {
				t.add(append(slices.Clone(l), Piece{Style: Plain, Text: part}))
				blank := strings.Repeat(" ", cells.Count(l.String()))
				l, number, at = Line{{Style: Plain, Text: blank}}, "", ""
			}
			m.During = ""
		}
	}
	if more := len(a.Marks) - maxListed; more > 0 {
		t.say("", Dim, t.glyphs.dots+" and "+plural(uint64(more), "message")+" more: --html has them")
	}
}

// bytes draws what is in the module, to scale.
func (t *textPage) bytes(a *Action) {
	parts := a.parts()
	given, memory := a.bytesGiven(), a.memory()
	if len(parts) == 0 && given == "" && memory == "" {
		return
	}
	t.add(Line{})
	if given != "" {
		t.say("given", Plain, given)
	}
	if memory != "" {
		t.say("memory", Plain, memory)
	}
	var largest uint64
	for _, p := range parts {
		largest = max(largest, p.size)
	}
	for _, p := range parts {
		note := p.fate
		if p.address != 0 && p.fate == "" {
			note = p.address.String()
		}
		r := newRow(max(t.room-20, 8))
		t.short = !r.bar(&t.glyphs, 0, float64(p.size)/float64(largest)) || t.short
		t.add(t.begin(Plain, p.name, bytesText(p.size)).Cell(Plain, r.String(), len(r)).Add(Dim, note))
	}
}

// symbols says who provides them: the first of each, as many as fit.
func (t *textPage) symbols(a *Action) {
	text := a.symbols()
	if text == "" {
		return
	}
	t.add(Line{})
	t.say("symbols", Plain, text)
	if a.Facts == nil {
		return
	}
	for _, p := range a.Facts.Providers {
		t.provided(p.name(), Plain, p.Symbols)
	}
	if len(a.Facts.Missing) > 0 {
		t.provided("nothing", Bad, a.Facts.Missing)
	}
}

func (t *textPage) provided(by string, s Style, symbols []string) {
	l := t.begin(s, by, bytesText(uint64(len(symbols))))
	room := t.width - cells.Count(l.String())
	names := cells.Cut(cells.Printable(strings.Join(symbols, " ")), room)
	t.add(l.Add(Dim, names))
}

func (t *textPage) doubts(p *Picture) {
	first := true
	say := func(text string) {
		if first {
			t.add(Line{})
		}
		t.say(map[bool]string{true: "note"}[first], Unsure, text)
		first = false
	}
	for _, d := range p.Doubts() {
		say(d)
	}
	if newScale(p.Main).broken() {
		say("The axis is broken at " + string([]rune{t.glyphs.cut, t.glyphs.cut}) + ": that stretch is drawn shorter than it was. All else is to scale.")
	}
	if s := newScale(p.Main); s.begin > 0 || s.end < 1 {
		say(string(t.glyphs.unknown) + " stands for a time that nobody saw the length of.")
	}
	if t.short {
		say(string(t.glyphs.short) + " is shorter than can be drawn.")
	}
}
