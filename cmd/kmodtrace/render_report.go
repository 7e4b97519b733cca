package main

import (
	"fmt"
	"strings"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// reportText renders what doctor found.
type reportText struct {
	theme theme
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
	lines := []line{line{}.cell(dim, "kernel", checkColumns).add(plain, r.Kernel.Release+", "+r.Kernel.Arch)}
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
		b.WriteString(l.render(t.theme, t.width))
	}
	return b.String()
}

// check gives a check's line, and more of them for a note that is longer: here the
// note is what was asked for.
func (t reportText) check(c check) []line {
	var lines []line
	head := line{}.cell(plain, c.Name, checkColumns).cell(c.style(), string(c.Have), haveColumns)
	indent := columns(head.text())
	for i, part := range wrap(c.Note, t.width-indent) {
		if i > 0 {
			head = line{}.add(plain, strings.Repeat(" ", indent))
		}
		lines = append(lines, head.add(plain, part))
	}
	return lines
}

func (c check) style() style {
	switch {
	case c.Have == yes:
		return good
	case c.Required && c.Have == no:
		return bad
	}
	return unsure
}

// hooks lists every hook: where and how it is attached, and what it tells; below
// that why it is not, or not in the better way.
func (t reportText) hooks(c *tracer.Coverage) []line {
	lines := []line{line{}.cell(dim, "HOOK", targetColumns).cell(dim, "HOW", howColumns).cell(dim, "STATE", hookStateColumns).add(dim, "TELLS")}
	for _, h := range c.Hooks {
		state, s := hookState(h)
		lines = append(lines, line{}.cell(strong, h.Target, targetColumns).cell(plain, h.How, howColumns).
			cell(s, state, hookStateColumns).add(plain, h.Tells))
		if h.Why == "" || h.Absent {
			continue
		}
		branch := "  " + branchLast
		for _, part := range wrap(shortLine(strings.Join(strings.Fields(h.Why), " ")), t.width-columns(branch)) {
			lines = append(lines, line{}.add(dim, branch).add(dim, part))
			branch = strings.Repeat(" ", columns(branch))
		}
	}
	return lines
}

const hookStateColumns = len("attached")

func hookState(h tracer.HookStatus) (string, style) {
	switch {
	case h.Attached:
		return "attached", good
	case h.Absent && h.Need != tracer.Required:
		return "absent", unsure
	case h.Need == tracer.Optional:
		return "missing", unsure
	}
	return "MISSING", bad
}

func conclusion(r *report) line {
	if !r.Works {
		return line{}.add(bad, "tracing does not work here")
	}
	return line{}.add(good, "tracing works").add(plain, fmt.Sprintf(": backend %v, attached in %s, detached in %s",
		r.Coverage.Backend, shortDuration(r.Attach), shortDuration(r.Detach)))
}
