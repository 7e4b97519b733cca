package timeline

import (
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
)

// Style is what a piece of text means; who prints it decides how that looks.
type Style = cells.Style

// The styles.
const (
	Plain  = cells.Plain
	Dim    = cells.Dim    // beside the point
	Strong = cells.Strong // what it is about
	Good   = cells.Good
	Bad    = cells.Bad
	Unsure = cells.Unsure
)

// Line is a line of text, in pieces of one style each. It has nothing in it that steers a
// terminal.
type Line = cells.Line

// Piece is a text of one style.
type Piece = cells.Piece

// escapeASCII writes what is beyond ASCII as escapes.
func escapeASCII(s string) string {
	quoted := strconv.QuoteToASCII(s)
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(quoted[1 : len(quoted)-1])
}
