package doctor

import (
	"fmt"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// Text renders what doctor found.
type Text struct {
	theme term.Theme
	width int
}

// NewText renders for a width in columns.
func NewText(t term.Theme, width int) Text { return Text{t, width} }

// The widths of a report's columns.
const (
	checkColumns  = len("unsigned modules")
	haveColumns   = len("unknown")
	targetColumns = len("security_kernel_read_file")
	howColumns    = len("tracepoint")
)

// Render gives a report as text.
func (t Text) Render(r *Report) string {
	lines := []cells.Line{cells.Line{}.Cell(cells.Dim, "kernel", checkColumns).Add(cells.Plain, r.Kernel.Release+", "+r.Kernel.Arch)}
	for _, c := range r.Checks {
		lines = append(lines, t.check(c)...)
	}
	if r.Coverage != nil {
		lines = append(lines, nil)
		lines = append(lines, t.Hooks(r.Coverage)...)
	}
	lines = append(lines, nil, conclusion(r))
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.Paint(t.theme, t.width))
	}
	return b.String()
}

// check gives a check's line, and more of them for a note that is longer: here the
// note is what was asked for.
func (t Text) check(c check) []cells.Line {
	var lines []cells.Line
	head := cells.Line{}.Cell(cells.Plain, c.Name, checkColumns).Cell(c.style(), string(c.Have), haveColumns)
	indent := cells.Count(head.String())
	for i, part := range cells.Wrap(c.Note, t.width-indent) {
		if i > 0 {
			head = cells.Line{}.Add(cells.Plain, strings.Repeat(" ", indent))
		}
		lines = append(lines, head.Add(cells.Plain, part))
	}
	return lines
}

func (c check) style() cells.Style {
	switch {
	case c.Have == yes:
		return cells.Good
	case c.Required && c.Have == no:
		return cells.Bad
	}
	return cells.Unsure
}

// Hooks lists every hook: where and how it is attached, and what it tells; below
// that why it is not, or not in the better way.
func (t Text) Hooks(c *tracer.Coverage) []cells.Line {
	lines := []cells.Line{cells.Line{}.Cell(cells.Dim, "HOOK", targetColumns).Cell(cells.Dim, "HOW", howColumns).Cell(cells.Dim, "STATE", hookStateColumns).Add(cells.Dim, "TELLS")}
	for _, h := range c.Hooks {
		state, s := hookState(h)
		lines = append(lines, cells.Line{}.Cell(cells.Strong, h.Target, targetColumns).Cell(cells.Plain, h.How, howColumns).
			Cell(s, state, hookStateColumns).Add(cells.Plain, h.Tells))
		if h.Why == "" || h.Absent {
			continue
		}
		branch := "  " + cells.BranchLast
		for _, part := range cells.Wrap(cells.ShortLine(strings.Join(strings.Fields(h.Why), " ")), t.width-cells.Count(branch)) {
			lines = append(lines, cells.Line{}.Add(cells.Dim, branch).Add(cells.Dim, part))
			branch = strings.Repeat(" ", cells.Count(branch))
		}
	}
	return lines
}

const hookStateColumns = len("attached")

func hookState(h tracer.HookStatus) (string, cells.Style) {
	switch {
	case h.Attached:
		return "attached", cells.Good
	case h.Absent && h.Need != tracer.Required:
		return "absent", cells.Unsure
	case h.Need == tracer.Optional:
		return "missing", cells.Unsure
	}
	return "MISSING", cells.Bad
}

func conclusion(r *Report) cells.Line {
	if !r.Works {
		return cells.Line{}.Add(cells.Bad, "tracing does not work here")
	}
	return cells.Line{}.Add(cells.Good, "tracing works").Add(cells.Plain, fmt.Sprintf(": backend %v, attached in %s, detached in %s",
		r.Coverage.Backend, cells.Duration(r.Attach), cells.Duration(r.Detach)))
}
