// Package cells makes text for the cells of a terminal: measured, cut and wrapped by what
// it takes there, harmless whoever wrote it, and times in few digits.
package cells

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/width"
)

// Count gives the cells that printable text takes.
func Count(s string) int {
	n := 0
	for _, r := range s {
		n += ofRune(r)
	}
	return n
}

func ofRune(r rune) int {
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

// Cut keeps the beginning of s, with … for what is missing.
func Cut(s string, n int) string {
	switch {
	case Count(s) <= n:
		return s
	case n <= 0:
		return ""
	}
	return Head(s, n-1) + "…"
}

// Head gives as much of s as n cells take.
func Head(s string, n int) string {
	for i, r := range s {
		if n -= ofRune(r); n < 0 {
			return s[:i]
		}
	}
	return s
}

// CutFront keeps the end of s, which tells most in a path.
func CutFront(s string, n int) string {
	over := Count(s) - n
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
		over -= ofRune(r)
	}
	return "…"
}

// Wrap breaks a text between words; a word that is longer than a line is left
// to be cut. There is always one line, perhaps an empty one.
func Wrap(text string, n int) []string {
	lines := []string{""}
	for _, word := range strings.Fields(Printable(text)) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case Count(*last)+1+Count(word) <= n:
			*last += " " + word
		default:
			lines = append(lines, word)
		}
	}
	return lines
}

// Duration gives a time to two or three digits: 850µs, 3.1ms, 12.4s, 2m03s.
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + Duration(-d)
	case d < time.Microsecond:
		return fmt.Sprintf("%dns", d.Nanoseconds())
	case d < time.Millisecond:
		return fmt.Sprintf("%dµs", d.Microseconds())
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%.1fms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	default:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
}
