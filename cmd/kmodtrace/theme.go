package main

import (
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"golang.org/x/term"
)

// style is what a piece of text means; a theme decides how that looks.
type style = cells.Style

const (
	plain  = cells.Plain
	dim    = cells.Dim
	strong = cells.Strong
	good   = cells.Good
	bad    = cells.Bad
	unsure = cells.Unsure
)

// theme paints text. The zero value does not.
type theme struct{ colour bool }

// themeOf takes colours on a terminal only, and never with NO_COLOR.
func themeOf(w io.Writer) theme {
	f, ok := underlying(w)
	allowed := os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return theme{colour: ok && allowed && term.IsTerminal(int(f.Fd()))}
}

func (t theme) paint(s style, text string) string {
	codes := [...]string{dim: "2", strong: "1", good: "32", bad: "31", unsure: "33"}
	if !t.colour || s == plain || text == "" {
		return text
	}
	return "\x1b[" + codes[s] + "m" + text + "\x1b[0m"
}

// asciiOnly tells a locale that says it has no UTF-8. None at all says nothing.
func asciiOnly() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := strings.ToLower(os.Getenv(name)); locale != "" {
			return !strings.Contains(locale, "utf-8") && !strings.Contains(locale, "utf8")
		}
	}
	return false
}

// defaultColumns is for output that is no terminal.
const defaultColumns = 80

// columnsOf gives the width to print for: the terminal's, else COLUMNS, else 80.
func columnsOf(w io.Writer) int {
	if n := terminalWidth(w); n > 0 {
		return n
	}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	return defaultColumns
}
