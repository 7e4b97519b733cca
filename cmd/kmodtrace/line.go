package main

import (
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
)

// line is one line of output, in the short words of this package.
type line cells.Line

func (l line) add(s style, text string) line { return line(cells.Line(l).Add(s, text)) }

func (l line) cell(s style, text string, n int) line { return line(cells.Line(l).Cell(s, text, n)) }

func (l line) cellRight(s style, text string, n int) line {
	return line(cells.Line(l).CellRight(s, text, n))
}

// spaced adds a text, if there is one, apart from what is there.
func (l line) spaced(s style, text string) line {
	if text == "" {
		return l
	}
	if len(l) > 0 {
		l = l.add(plain, strings.Repeat(" ", columnGap))
	}
	return l.add(s, text)
}

// joined makes one line of several, leaving out those with nothing in them.
func joined(lines []line) line {
	var all line
	for _, l := range lines {
		if len(all) > 0 && len(l) > 0 {
			all = all.add(plain, strings.Repeat(" ", columnGap))
		}
		all = append(all, l...)
	}
	return all
}

const columnGap = cells.Gap

// render paints the line, cut to n columns, without blanks at its end.
func (l line) render(t theme, n int) string { return paintedLine(t, cells.Line(l).Fit(n, "…")) }

func paintedLine(t theme, l cells.Line) string {
	var b strings.Builder
	for _, p := range l {
		b.WriteString(t.paint(p.Style, p.Text))
	}
	b.WriteByte('\n')
	return b.String()
}

func (l line) text() string { return cells.Line(l).String() }

// What text takes on a terminal, and what may be shown there, is cells' to know.
func columns(s string) int                 { return cells.Count(s) }
func cut(s string, n int) string           { return cells.Cut(s, n) }
func head(s string, n int) string          { return cells.Head(s, n) }
func cutFront(s string, n int) string      { return cells.CutFront(s, n) }
func wrap(text string, n int) []string     { return cells.Wrap(text, n) }
func printable(s string) string            { return cells.Printable(s) }
func shortDuration(d time.Duration) string { return cells.Duration(d) }
func plural(n uint64, word string) string  { return cells.Plural(n, word) }
