package timeline

import (
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
)

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

// Line is a line of text, in pieces of one style each. It has nothing in it that steers
// a terminal.
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

func (l Line) add(s Style, text string) Line { return append(l, Piece{s, cells.Printable(text)}) }

// cell adds a column of n cells, and the gap to the next.
func (l Line) cell(s Style, text string, n int) Line {
	text = cells.Cut(cells.Printable(text), n)
	return append(l, Piece{s, text}, Piece{Plain, strings.Repeat(" ", n-cells.Count(text)+gap)})
}

// cellRight is cell with the text set to the right.
func (l Line) cellRight(s Style, text string, n int) Line {
	text = cells.Cut(cells.Printable(text), n)
	return append(l, Piece{Plain, strings.Repeat(" ", n-cells.Count(text))}, Piece{s, text}, Piece{Plain, strings.Repeat(" ", gap)})
}

const gap = 2 // between columns

// fit cuts the line to n cells, with dots for what is missing, and takes blanks off its end.
func (l Line) fit(n int, dots string) Line {
	if cells.Count(strings.TrimRight(l.String(), " ")) <= n {
		return l.trimmed()
	}
	var kept Line
	room := max(n-cells.Count(dots), 0)
	for _, p := range l {
		if cells.Count(p.Text) > room {
			kept = append(kept, Piece{p.Style, cells.Head(p.Text, room) + cells.Head(dots, n)})
			break
		}
		kept, room = append(kept, p), room-cells.Count(p.Text)
	}
	return kept.trimmed()
}

func (l Line) trimmed() Line {
	for len(l) > 0 {
		last := &l[len(l)-1]
		if last.Text = strings.TrimRight(last.Text, " "); last.Text != "" {
			break
		}
		l = l[:len(l)-1]
	}
	return l
}

// escapeASCII writes what is beyond ASCII as escapes.
func escapeASCII(s string) string {
	quoted := strconv.QuoteToASCII(s)
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(quoted[1 : len(quoted)-1])
}
