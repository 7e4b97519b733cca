// Package render shows what the libraries found as text: tables, trees, results and explanations. It draws no
// conclusions.
package render

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/oops"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// ActionTable renders actions one by one, as they come: a row each, what the
// kernel and the module said below it.
type ActionTable struct {
	theme term.Theme
	users Users
	width int

	module, by int // columns
	Side       Column
	inline     bool // details stand in the row, not below it
}

// The widths of what is always as wide.
const (
	TimeColumns    = len("15:04:05")
	KindColumns    = len("request")
	outcomeColumns = len("failed ENOEXEC")
	tookColumns    = len("850.0ms")
	belowColumns   = TimeColumns + KindColumns + 2*cells.Gap // where lines below a row begin
	maxBelow       = 10                                      // lines of messages shown of one action
)

// Column is a number beside the outcome.
type Column struct {
	Title string
	Width int
	Text  func(*record.Record) string
}

func tookText(a *record.Record) string {
	if a.End == 0 {
		return "-"
	}
	return cells.Duration(a.Took)
}

// NewActionTable renders for a width in columns.
func NewActionTable(t term.Theme, width int) *ActionTable {
	return NewActionTableWith(t, width, Column{"TOOK", tookColumns, tookText})
}

// NewActionTableWith is [NewActionTable] with a column more.
func NewActionTableWith(t term.Theme, width int, side Column) *ActionTable {
	free := width - (TimeColumns + KindColumns + outcomeColumns + side.Width + 5*cells.Gap)
	table := &ActionTable{theme: t, users: Users{}, width: width, inline: width >= 140, Side: side}
	table.module = min(max(free*2/5, len("MODULE")), 24)
	table.by = max(free-table.module, len("BY"))
	if table.inline {
		table.by = min(max(width/6, 28), 48)
	}
	return table
}

// Header names the columns.
func (t *ActionTable) Header() string {
	l := cells.Line{}.Cell(cells.Dim, "TIME", TimeColumns).Cell(cells.Dim, "ACTION", KindColumns).Cell(cells.Dim, "MODULE", t.module).
		Cell(cells.Dim, "OUTCOME", outcomeColumns).CellRight(cells.Dim, t.Side.Title, t.Side.Width).Cell(cells.Dim, "BY", t.by)
	if t.inline {
		l = l.Add(cells.Dim, "DETAILS")
	}
	return l.Paint(t.theme, t.width)
}

// Render gives the lines of one action.
func (t *ActionTable) Render(a *record.Record) string { return t.rows(a, nil) }

// rows gives the lines of one action with those of what is drawn below it.
func (t *ActionTable) rows(a *record.Record, drawn []cells.Line) string {
	row := cells.Line{}.Cell(cells.Dim, ClockTime(a.Time), TimeColumns).Cell(cells.Plain, a.Kind.String(), KindColumns).
		Cell(cells.Strong, cells.OrDash(a.Module), t.module).
		Cell(outcomeStyle(a.Outcome), outcomeText(&a.Action, outcomeColumns), outcomeColumns).
		CellRight(cells.Plain, t.Side.Text(a), t.Side.Width).Cell(cells.Plain, t.users.by(&a.Action, t.by), t.by)
	var below []cells.Line
	if t.inline {
		row = append(row, cells.Join(t.details(a, t.width-cells.Count(row.String())))...)
	} else {
		below = t.details(a, t.width-belowColumns-cells.Count(cells.BranchMore))
	}
	below = append(below, MessageLines(a, maxBelow)...)

	var b strings.Builder
	b.WriteString(row.Paint(t.theme, t.width))
	for i, l := range below {
		branch := cells.BranchMore
		if i == len(below)-1 && len(drawn) == 0 {
			branch = cells.BranchLast
		}
		l = append(t.branch(branch), l...)
		b.WriteString(l.Paint(t.theme, t.width))
	}
	for _, l := range drawn {
		b.WriteString(l.Paint(t.theme, t.width))
	}
	return b.String()
}

// details gives the rest of what is known: what it was about, and what there is
// to say about it, which for a failure comes first. The path is shortened from
// its front to fit into room.
func (t *ActionTable) details(a *record.Record, room int) []cells.Line {
	said := t.said(a, room)
	rest := cells.Line{}.Spaced(cells.Plain, paramsText(&a.Action)).Spaced(cells.Unsure, actionTaints(&a.Action))
	if t.inline {
		for _, l := range said {
			room -= cells.Count(l.String()) + cells.Gap
		}
	}
	path := cells.Printable(fileText(a.File))
	about := cells.Line{}.Spaced(cells.Plain, cells.CutFront(path, max(room-cells.Count(rest.String())-cells.Gap, min(room, 16))))
	lines := append([]cells.Line{cells.Join([]cells.Line{about, rest})}, said...)
	if a.Outcome == tracer.Failed {
		lines = append(said, lines[0])
	}
	return slices.DeleteFunc(lines, func(l cells.Line) bool { return len(l) == 0 })
}

// said tells the cause, in as many lines as it takes, then what else there is to
// note, then what is odd about its file, and what was warned of.
func (t *ActionTable) said(a *record.Record, room int) []cells.Line {
	if t.inline {
		room = math.MaxInt32
	}
	var lines []cells.Line
	add := func(s cells.Style, text string) {
		if text == "" {
			return
		}
		for _, part := range cells.Wrap(cells.Printable(text), room) {
			lines = append(lines, cells.Line{}.Add(s, part))
		}
	}
	if a.Cause != nil {
		add(outcomeNote(a.Outcome), a.Cause.String())
	}
	if a.NotLookedUp != "" {
		add(cells.Unsure, "not looked into: "+a.NotLookedUp)
	}
	if a.Cut {
		add(cells.Unsure, "the record was too long and was shortened")
	}
	need := NonEmpty(askedText(&a.Action), needText(&a.Action), t.users.awaitedText(&a.Action))
	if text := strings.Join(need, ", "); text != "" {
		add(cells.Plain, text)
	}
	if text := strings.Join(remarks(a), ", "); text != "" {
		add(outcomeNote(a.Outcome), text)
	}
	add(cells.Unsure, suspicions(a))
	for i := range a.Warnings {
		add(cells.Unsure, a.Warnings[i].String())
	}
	return lines
}

func outcomeNote(o tracer.Outcome) cells.Style {
	if o == tracer.Failed {
		return cells.Bad
	}
	return cells.Plain
}

// MessageLines quotes what was printed, the first few lines of it. A report of the kernel's takes two:
// what it is, and who called.
func MessageLines(a *record.Record, most int) []cells.Line {
	lines := printedLines(a)
	more := len(lines) - most
	lines = lines[:min(len(lines), most)]
	for i := range lines {
		lines[i] = append(cells.Line{}.Add(cells.Dim, "kernel: "), lines[i]...)
	}
	if more = max(more, 0) + a.MessagesDropped; more > 0 {
		lines = append(lines, cells.Line{}.Add(cells.Dim, fmt.Sprintf("… and %s more (--json has them)", cells.Plural(uint64(more), "line"))))
	}
	return lines
}

// printedLines gives what was printed line by line, without empty ones.
func printedLines(a *record.Record) []cells.Line {
	var lines []cells.Line
	for _, p := range a.Printed() {
		if p.Report != nil {
			lines = append(lines, reportLines(p.Report)...)
			continue
		}
		for text := range strings.SplitSeq(p.Text, "\n") {
			if strings.TrimSpace(text) != "" {
				lines = append(lines, cells.Line{}.Add(LevelStyle(p.Level), `"`+text+`"`))
			}
		}
	}
	return lines
}

// reportLines tell of a report what a reader wants first; JSON has the rest.
func reportLines(r *oops.Report) []cells.Line {
	s := cells.Unsure
	if r.Kind.Fatal() {
		s = cells.Bad
	}
	lines := []cells.Line{cells.Line{}.Add(s, r.Summary())}
	if by := r.CalledBy(); by != "" {
		lines = append(lines, cells.Line{}.Add(cells.Plain, "  "+by))
	}
	return lines
}

// LevelStyle marks errors and warnings among messages.
func LevelStyle(l tracer.Level) cells.Style {
	switch {
	case l.AtLeast(tracer.LevelErr):
		return cells.Bad
	case l.AtLeast(tracer.LevelWarning):
		return cells.Unsure
	}
	return cells.Plain
}

// ClockTime gives a time of day as tables have it, in the local zone.
func ClockTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("15:04:05")
}
