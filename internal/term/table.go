package term

import (
	"fmt"
	"io"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
)

// Table prints columns that fit a width. The last column is cut first.
type Table struct {
	Header []string
	Right  map[int]bool // columns set to the right
	Rows   [][]string
	Width  int // 0: no bound
}

// Print writes the header and the rows.
func (t *Table) Print(w io.Writer) error {
	widths := make([]int, len(t.Header))
	for _, row := range append([][]string{t.Header}, t.Rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], cells.Count(cells.Printable(cell)))
		}
	}
	for _, row := range append([][]string{t.Header}, t.Rows...) {
		if _, err := fmt.Fprintln(w, t.line(row, widths)); err != nil {
			return err
		}
	}
	return nil
}

func (t *Table) line(row []string, widths []int) string {
	texts := make([]string, len(row))
	for i, cell := range row {
		cell = cells.Printable(cell)
		blanks := strings.Repeat(" ", widths[i]-cells.Count(cell))
		if t.Right[i] {
			texts[i] = blanks + cell
		} else {
			texts[i] = cell + blanks
		}
	}
	line := strings.TrimRight(strings.Join(texts, "  "), " ")
	if t.Width > 0 {
		line = cells.Cut(line, t.Width)
	}
	return line
}
