package main

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
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

// columns counts what printable text takes on a terminal.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.Is(unicode.Mn, r):
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// cut keeps the beginning of s, with … for what is missing.
func cut(s string, n int) string {
	switch {
	case columns(s) <= n:
		return s
	case n <= 0:
		return ""
	}
	return head(s, n-1) + "…"
}

// head gives as much of s as n columns take.
func head(s string, n int) string {
	for i, r := range s {
		if n -= runeColumns(r); n < 0 {
			return s[:i]
		}
	}
	return s
}

// cutFront keeps the end of s, which tells most in a path.
func cutFront(s string, n int) string {
	over := columns(s) - n
	if over <= 0 {
		return s
	}
	if n <= 0 {
		return ""
	}
	over++ // for the …
	for i, r := range s {
		if over <= 0 {
			return "…" + s[i:]
		}
		over -= runeColumns(r)
	}
	return "…"
}
