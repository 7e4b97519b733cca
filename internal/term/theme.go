// Package term prints to terminals: colours, widths, tables, and nothing that steers a terminal unless
// this program means to. It knows nothing of modules.
package term

import (
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"golang.org/x/term"
)

// Theme paints text. The zero value does not.
type Theme struct{ Colour bool }

// ThemeOf takes colours on a terminal only, and never with NO_COLOR.
func ThemeOf(w io.Writer) Theme {
	f, ok := File(w)
	allowed := os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return Theme{Colour: ok && allowed && term.IsTerminal(int(f.Fd()))}
}

// Paint gives text in its style.
func (t Theme) Paint(s cells.Style, text string) string {
	codes := [...]string{cells.Dim: "2", cells.Strong: "1", cells.Good: "32", cells.Bad: "31", cells.Unsure: "33"}
	if !t.Colour || s == cells.Plain || text == "" {
		return text
	}
	return "\x1b[" + codes[s] + "m" + text + "\x1b[0m"
}

// ASCIIOnly tells a locale that says it has no UTF-8. None at all says nothing.
func ASCIIOnly() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := strings.ToLower(os.Getenv(name)); locale != "" {
			return !strings.Contains(locale, "utf-8") && !strings.Contains(locale, "utf8")
		}
	}
	return false
}

// defaultColumns is for output that is not a terminal.
const defaultColumns = 80

// Columns gives the width to print for: the terminal's, else COLUMNS, else 80.
func Columns(w io.Writer) int {
	if n := Width(w); n > 0 {
		return n
	}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	return defaultColumns
}
