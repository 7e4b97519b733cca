package timeline

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// TextOptions say for what terminal. Nil is the same as its zero value.
type TextOptions struct {
	Columns int  // its width; 0 is 80
	ASCII   bool // it shows nothing but ASCII
}

// Text draws the picture for a terminal. No line is wider than that.
func (p *Picture) Text(opts *TextOptions) []Line {
	if opts == nil {
		opts = &TextOptions{}
	}
	t := &textPage{width: cmp.Or(opts.Columns, 80), glyphs: blocks(), names: nameColumns}
	if opts.ASCII {
		t.glyphs = ascii()
	}
	for _, a := range p.Actions {
		if len(p.Actions) > 1 {
			t.names = max(t.names, min(cells.Count(cells.Printable(a.name())), t.width/4))
		}
	}
	t.room = max(t.width-indent-t.names-tookColumns-2*gap, 8)
	t.heading(p.Main)
	t.together(p)
	t.stages(p.Main)
	t.failure(p.Main)
	t.messages(p.Main)
	t.bytes(p.Main)
	t.symbols(p.Main)
	t.doubts(p)
	return t.finish(opts.ASCII)
}

const (
	indent      = 2
	nameColumns = len("the kernel")
	tookColumns = len(">850.0ms")
	maxListed   = 20 // messages
)

// textPage collects lines.
type textPage struct {
	glyphs glyphs
	width  int
	names  int // columns of the first column
	room   int // columns of the bars
	short  bool
	lines  []Line
}

func (t *textPage) add(l Line) { t.lines = append(t.lines, l) }

// begin starts a line with a name and a number.
func (t *textPage) begin(s Style, name, number string) Line {
	return Line{}.add(Plain, strings.Repeat(" ", indent)).cell(s, name, t.names).cellRight(Plain, number, tookColumns)
}

// say adds a text in as many lines as it takes, the first with a label.
func (t *textPage) say(label string, s Style, text string) {
	room := t.width - indent - t.names - gap
	for _, part := range cells.Wrap(text, room) {
		t.add(Line{}.add(Plain, strings.Repeat(" ", indent)).cell(Dim, label, t.names).add(s, cells.Cut(part, room)))
		label = ""
	}
}

func (t *textPage) heading(a *Action) {
	t.add(Line{}.add(Strong, a.name()).add(Plain, "  "+a.Kind.String()+"  ").add(outcomeStyle(a), a.outcome()).add(Plain, "  "+a.took()))
	if text := a.by(); text != "" {
		t.say("by", Plain, text)
	}
	if path := cells.Printable(a.path()); path != "" {
		t.say("file", Plain, cells.CutFront(path, t.width-indent-t.names-gap))
	}
}

func outcomeStyle(a *Action) Style {
	switch a.Outcome {
	case tracer.Live, tracer.Unloaded, tracer.Answered:
		return Good
	case tracer.Failed:
		return Bad
	}
	return Unsure
}

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
		t.add(t.begin(style, a.name(), cells.Duration(a.Known)).add(outcomeStyle(a), r.String()))
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
		t.add(t.begin(Dim, "messages", "").add(Unsure, r.String()))
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
	t.add(t.begin(Plain, span.Name, number).add(style, r.String()))
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
	t.add(t.begin(Dim, label, "").add(Dim, times.String()))
	t.add(t.begin(Plain, "", "").add(Dim, marks.String()))
}

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
	t.add(Line{}.add(Plain, strings.Repeat(" ", indent)).add(Dim, "messages"))
	for i, m := range a.Marks[:min(len(a.Marks), maxListed)] {
		at := "?"
		if m.Timed {
			at = since(m.At)
		}
		number := bytesText(uint64(i + 1))
		for _, text := range texts(m.Text) {
			l := Line{}.add(Plain, strings.Repeat(" ", indent)).cellRight(Unsure, number, 3).cellRight(Plain, at, tookColumns).cell(Dim, m.During, len("relocate"))
			for _, part := range cells.Wrap(text, t.width-cells.Count(l.String())) {
				t.add(append(slices.Clone(l), Piece{Plain, part}))
				blank := strings.Repeat(" ", cells.Count(l.String()))
				l, number, at = Line{{Plain, blank}}, "", ""
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
		t.add(t.begin(Plain, p.name, bytesText(p.size)).cell(Plain, r.String(), len(r)).add(Dim, note))
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
	t.add(l.add(Dim, names))
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

// finish cuts the lines to the width, without blanks at their ends.
func (t *textPage) finish(asciiOnly bool) []Line {
	for i, l := range t.lines {
		if asciiOnly {
			for j := range l {
				l[j].Text = t.toASCII(l[j].Text)
			}
		}
		t.lines[i] = l.fit(t.width, t.glyphs.dots)
	}
	return t.lines
}

func (t *textPage) toASCII(s string) string {
	s = strings.NewReplacer("µ", t.glyphs.micro, "…", t.glyphs.dots, "·", t.glyphs.dot).Replace(s)
	if !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return s
	}
	return escapeASCII(s)
}
