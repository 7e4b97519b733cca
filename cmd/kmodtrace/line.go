package main

import (
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
)

// line is one line of output, in pieces of one style each. Nothing in it can
// steer a terminal: every piece goes through printable.
type line []piece

type piece struct {
	style style
	text  string
}

func (l line) add(s style, text string) line { return append(l, piece{s, printable(text)}) }

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

// cell adds a column: text cut or filled to n, and the gap to the next.
func (l line) cell(s style, text string, n int) line {
	text = cut(printable(text), n)
	return append(l, piece{s, text}, piece{plain, strings.Repeat(" ", n-columns(text)+columnGap)})
}

// cellRight is cell with the text set to the right.
func (l line) cellRight(s style, text string, n int) line {
	text = cut(printable(text), n)
	return append(l, piece{plain, strings.Repeat(" ", n-columns(text))}, piece{s, text}, piece{plain, strings.Repeat(" ", columnGap)})
}

const columnGap = 2

// render paints the line, cut to n columns, without blanks at its end.
func (l line) render(t theme, n int) string {
	l = l.trimmed(n)
	var b strings.Builder
	for _, p := range l {
		b.WriteString(t.paint(p.style, p.text))
	}
	b.WriteByte('\n')
	return b.String()
}

// trimmed drops blanks at the end and cuts the line to n columns, with … where
// something is missing.
func (l line) trimmed(n int) line {
	if columns(strings.TrimRight(l.text(), " ")) <= n {
		return l.withoutEnd()
	}
	var kept line
	room := n - 1
	for _, p := range l {
		c := columns(p.text)
		if c > room {
			return append(kept, piece{p.style, head(p.text, room) + "…"})
		}
		kept, room = append(kept, p), room-c
	}
	return kept
}

func (l line) withoutEnd() line {
	kept := append(line(nil), l...)
	for len(kept) > 0 {
		last := &kept[len(kept)-1]
		if last.text = strings.TrimRight(last.text, " "); last.text != "" {
			break
		}
		kept = kept[:len(kept)-1]
	}
	return kept
}

func (l line) text() string {
	var b strings.Builder
	for _, p := range l {
		b.WriteString(p.text)
	}
	return b.String()
}

// What text takes on a terminal, and what may be shown there, is cells' to know.
func columns(s string) int                 { return cells.Count(s) }
func cut(s string, n int) string           { return cells.Cut(s, n) }
func head(s string, n int) string          { return cells.Head(s, n) }
func cutFront(s string, n int) string      { return cells.CutFront(s, n) }
func wrap(text string, n int) []string     { return cells.Wrap(text, n) }
func printable(s string) string            { return cells.Printable(s) }
func shortDuration(d time.Duration) string { return cells.Duration(d) }
func plural(n uint64, word string) string  { return cells.Plural(n, word) }
