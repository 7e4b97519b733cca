package main

import (
	"fmt"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// reportText renders what doctor found.
type reportText struct {
	theme term.Theme
	width int
}

// The widths of a report's columns.
const (
	checkColumns  = len("unsigned modules")
	haveColumns   = len("unknown")
	targetColumns = len("security_kernel_read_file")
	howColumns    = len("tracepoint")
)

func (t reportText) render(r *report) string {
	lines := []cells.Line{cells.Line{}.Cell(cells.Dim, "kernel", checkColumns).Add(cells.Plain, r.Kernel.Release+", "+r.Kernel.Arch)}
	for _, c := range r.Checks {
		lines = append(lines, t.check(c)...)
	}
	if r.Coverage != nil {
		lines = append(lines, nil)
		lines = append(lines, t.hooks(r.Coverage)...)
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
func (t reportText) check(c check) []cells.Line {
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

// hooks lists every hook: where and how it is attached, and what it tells; below
// that why it is not, or not in the better way.
func (t reportText) hooks(c *tracer.Coverage) []cells.Line {
	lines := []cells.Line{cells.Line{}.Cell(cells.Dim, "HOOK", targetColumns).Cell(cells.Dim, "HOW", howColumns).Cell(cells.Dim, "STATE", hookStateColumns).Add(cells.Dim, "TELLS")}
	for _, h := range c.Hooks {
		state, s := hookState(h)
		lines = append(lines, cells.Line{}.Cell(cells.Strong, h.Target, targetColumns).Cell(cells.Plain, h.How, howColumns).
			Cell(s, state, hookStateColumns).Add(cells.Plain, h.Tells))
		if h.Why == "" || h.Absent {
			continue
		}
		branch := "  " + branchLast
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

func conclusion(r *report) cells.Line {
	if !r.Works {
		return cells.Line{}.Add(cells.Bad, "tracing does not work here")
	}
	return cells.Line{}.Add(cells.Good, "tracing works").Add(cells.Plain, fmt.Sprintf(": backend %v, attached in %s, detached in %s",
		r.Coverage.Backend, cells.Duration(r.Attach), cells.Duration(r.Detach)))
}
