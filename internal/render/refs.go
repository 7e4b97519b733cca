package render

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/holders"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/term"
)

// RefsText renders a [holders.Report].
type RefsText struct {
	theme term.Theme
	width int
}

// NewRefsText renders for a width in columns.
func NewRefsText(t term.Theme, width int) RefsText { return RefsText{t, width} }

// The widths of the columns: those of numbers are fixed, the process has what it
// needs, and the call site the rest.
const (
	numberColumns = len("BALANCE")
	processMost   = 26 // a name of 15, and a process id
	siteLeast     = len("CALL SITE")
	siteBeside    = 3*numberColumns + 4*cells.Gap
)

// Render gives the report of all that takes and gives references.
func (t RefsText) Render(r *holders.Report) string {
	lines := t.table(r)
	for _, text := range refsNotes(r) {
		for _, part := range cells.Wrap(text, t.width) {
			lines = append(lines, cells.Line{}.Add(cells.Plain, part))
		}
	}
	if !r.Final {
		lines = append(lines, nil)
	}
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.Paint(t.theme, t.width))
	}
	return b.String()
}

func (t RefsText) table(r *holders.Report) []cells.Line {
	if len(r.Sites) == 0 {
		return []cells.Line{cells.Line{}.Add(cells.Unsure, fmt.Sprintf("no reference to %s was taken or dropped in %s", r.Module, cells.Duration(r.Took)))}
	}
	process, site := len("PROCESS"), siteLeast
	for _, s := range r.Sites {
		process = max(process, cells.Count(cells.Printable(processText(s))))
		site = max(site, cells.Count(cells.Printable(s.Call.String())))
	}
	process = min(process, processMost)
	site = max(siteLeast, min(site, t.width-siteBeside-process))
	row := func(s cells.Style, who, where string, numbers ...string) cells.Line {
		l := cells.Line{}.Cell(s, who, process).Cell(s, where, site)
		for _, n := range numbers {
			l = l.CellRight(s, n, numberColumns)
		}
		return l
	}
	lines := []cells.Line{row(cells.Dim, "PROCESS", "CALL SITE", "GETS", "PUTS", "BALANCE")}
	for _, s := range r.Sites {
		lines = append(lines, row(cells.Plain, processText(s), s.Call.String(), strconv.FormatUint(s.Gets, 10), strconv.FormatUint(s.Puts, 10), balanceText(s.Balance)))
	}
	return lines
}

func processText(s holders.Site) string { return fmt.Sprintf("%s[%d]", s.Comm, s.PID) }

func balanceText(n int64) string {
	if n == 0 {
		return "0"
	}
	return fmt.Sprintf("%+d", n)
}

// refsNotes says what the numbers come to, and what is not in them.
func refsNotes(r *holders.Report) []string {
	balance := int64(r.Totals.Gets - r.Totals.Puts)
	var notes []string
	switch {
	case r.CountNow == nil:
		notes = append(notes, fmt.Sprintf("%s was unloaded while it was watched; it had %s at the start", r.Module, References(r.CountBefore)))
	default:
		notes = append(notes, fmt.Sprintf("%s had %s at the start and has %d now; the balance of %s is %s", r.Module, References(r.CountBefore), *r.CountNow, cells.Duration(r.Took), balanceText(balance)))
		if rest := int64(*r.CountNow-r.CountBefore) - balance; rest != 0 {
			notes = append(notes, fmt.Sprintf("the count moved by %s beside that, at the moment of the start or the end", balanceText(rest)))
		}
	}
	if r.CountBefore > 0 {
		notes = append(notes, "references taken before it began are not attributed")
	}
	if r.Totals.Lost > 0 {
		notes = append(notes, fmt.Sprintf("%s found no room in this table", cells.Plural(r.Totals.Lost, "change")))
	}
	return notes
}

// References names a number of references.
func References(n int) string { return cells.Plural(uint64(max(0, n)), "reference") }
