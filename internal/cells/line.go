package cells

import "strings"

// Style is what a piece of text means; who prints it decides how that looks.
type Style uint8

// The styles.
const (
	Plain  Style = iota
	Dim          // beside the point
	Strong       // what it is about
	Good
	Bad
	Unsure
)

// Gap is between two columns.
const Gap = 2

// What lines begin with that hang below another.
const (
	BranchMore = "├ "
	BranchLast = "└ "
)

// Line is a line of text, in pieces of one style each. Nothing in it can steer a terminal:
// what is added goes through [Printable].
type Line []Piece

// Piece is a text of one style.
type Piece struct {
	Style Style
	Text  string
}

func (l Line) String() string {
	var b strings.Builder
	for _, p := range l {
		b.WriteString(p.Text)
	}
	return b.String()
}

// Add adds a text.
func (l Line) Add(s Style, text string) Line { return append(l, Piece{s, Printable(text)}) }

// Cell adds a column: text cut or filled to n cells, and the gap to the next.
func (l Line) Cell(s Style, text string, n int) Line {
	text = Cut(Printable(text), n)
	return append(l, Piece{s, text}, blanks(n-Count(text)+Gap))
}

// CellRight is Cell with the text set to the right.
func (l Line) CellRight(s Style, text string, n int) Line {
	text = Cut(Printable(text), n)
	return append(l, blanks(n-Count(text)), Piece{s, text}, blanks(Gap))
}

// Spaced adds a text, if there is one, apart from what is there.
func (l Line) Spaced(s Style, text string) Line {
	if text == "" {
		return l
	}
	if len(l) > 0 {
		l = l.Add(Plain, strings.Repeat(" ", Gap))
	}
	return l.Add(s, text)
}

// Join makes one line of several, leaving out those with nothing in them.
func Join(lines []Line) Line {
	var all Line
	for _, l := range lines {
		if len(all) > 0 && len(l) > 0 {
			all = all.Add(Plain, strings.Repeat(" ", Gap))
		}
		all = append(all, l...)
	}
	return all
}

func blanks(n int) Piece { return Piece{Plain, strings.Repeat(" ", n)} }

// Fit cuts the line to n cells, with dots for what is missing, and leaves out the blanks at
// its end.
func (l Line) Fit(n int, dots string) Line {
	if Count(strings.TrimRight(l.String(), " ")) <= n {
		return l.withoutEnd()
	}
	var kept Line
	room := max(n-Count(dots), 0)
	for _, p := range l {
		if Count(p.Text) > room {
			kept = append(kept, Piece{p.Style, Head(p.Text, room) + Head(dots, n)})
			break
		}
		kept, room = append(kept, p), room-Count(p.Text)
	}
	return kept.withoutEnd()
}

func (l Line) withoutEnd() Line {
	kept := append(Line(nil), l...)
	for len(kept) > 0 {
		last := &kept[len(kept)-1]
		if last.Text = strings.TrimRight(last.Text, " "); last.Text != "" {
			break
		}
		kept = kept[:len(kept)-1]
	}
	return kept
}

// Painter shows a text in its style, where that can be shown.
type Painter interface {
	Paint(s Style, text string) string
}

// Paint gives the line as p shows it, cut to n cells, and its end.
func (l Line) Paint(p Painter, n int) string { return l.Fit(n, "…").Painted(p) }

// Painted gives the whole line as p shows it, and its end.
func (l Line) Painted(p Painter) string {
	var b strings.Builder
	for _, piece := range l {
		b.WriteString(p.Paint(piece.Style, piece.Text))
	}
	b.WriteByte('\n')
	return b.String()
}
