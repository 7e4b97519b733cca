package timeline

import (
	"cmp"
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
	t.room = max(t.width-indent-t.names-tookColumns-2*cells.Gap, 8)
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
	tookColumns = len("12,345,678") // a time, or bytes
	maxListed   = 20                // messages
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
	return Line{}.Add(Plain, strings.Repeat(" ", indent)).Cell(s, name, t.names).CellRight(Plain, number, tookColumns)
}

// say adds a text in as many lines as it takes, the first with a label.
func (t *textPage) say(label string, s Style, text string) {
	room := t.width - indent - t.names - cells.Gap
	for _, part := range cells.Wrap(text, room) {
		t.add(Line{}.Add(Plain, strings.Repeat(" ", indent)).Cell(Dim, label, t.names).Add(s, cells.Cut(part, room)))
		label = ""
	}
}

func (t *textPage) heading(a *Action) {
	t.add(Line{}.Add(Strong, a.name()).Add(Plain, "  "+a.Kind.String()+"  ").Add(outcomeStyle(a), a.outcome()).Add(Plain, "  "+a.took()))
	if text := a.by(); text != "" {
		t.say("by", Plain, text)
	}
	if path := cells.Printable(a.path()); path != "" {
		t.say("file", Plain, cells.CutFront(path, t.width-indent-t.names-cells.Gap))
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

// finish cuts the lines to the width, without blanks at their ends.
func (t *textPage) finish(asciiOnly bool) []Line {
	for i, l := range t.lines {
		if asciiOnly {
			for j := range l {
				l[j].Text = t.toASCII(l[j].Text)
			}
		}
		t.lines[i] = l.Fit(t.width, t.glyphs.dots)
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
