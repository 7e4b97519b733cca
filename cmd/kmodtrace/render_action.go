package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/account"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// actionTable renders actions one by one, as they come: a row each, what the
// kernel and the module said below it.
type actionTable struct {
	theme theme
	users users
	width int

	module, by int // columns
	side       sideColumn
	inline     bool // details stand in the row, not below it
}

// The widths of what is always as wide.
const (
	timeColumns    = len("15:04:05")
	kindColumns    = len("request")
	outcomeColumns = len("failed ENOEXEC")
	tookColumns    = len("850.0ms")
	belowColumns   = timeColumns + kindColumns + 2*columnGap // where lines below a row begin
	maxBelow       = 10                                      // lines of messages shown of one action
	branchMore     = "├ "
	branchLast     = "└ "
)

// sideColumn is a number beside the outcome.
type sideColumn struct {
	title string
	width int
	text  func(*account.Account) string
}

func tookText(a *account.Account) string {
	if a.End == 0 {
		return "-"
	}
	return shortDuration(a.Took)
}

func newActionTable(t theme, width int) *actionTable {
	return newActionTableWith(t, width, sideColumn{"TOOK", tookColumns, tookText})
}

func newActionTableWith(t theme, width int, side sideColumn) *actionTable {
	free := width - (timeColumns + kindColumns + outcomeColumns + side.width + 5*columnGap)
	table := &actionTable{theme: t, users: users{}, width: width, inline: width >= 140, side: side}
	table.module = min(max(free*2/5, len("MODULE")), 24)
	table.by = max(free-table.module, len("BY"))
	if table.inline {
		table.by = min(max(width/6, 28), 48)
	}
	return table
}

func (t *actionTable) header() string {
	l := line{}.cell(dim, "TIME", timeColumns).cell(dim, "ACTION", kindColumns).cell(dim, "MODULE", t.module).
		cell(dim, "OUTCOME", outcomeColumns).cellRight(dim, t.side.title, t.side.width).cell(dim, "BY", t.by)
	if t.inline {
		l = l.add(dim, "DETAILS")
	}
	return l.render(t.theme, t.width)
}

// render gives the lines of one action.
func (t *actionTable) render(a *account.Account) string { return t.rows(a, nil) }

// rows gives the lines of one action with those of what is drawn below it.
func (t *actionTable) rows(a *account.Account, drawn []line) string {
	row := line{}.cell(dim, clockTime(a.Time), timeColumns).cell(plain, a.Kind.String(), kindColumns).
		cell(strong, orDash(a.Module), t.module).
		cell(outcomeStyle(a.Outcome), outcomeText(&a.Action, outcomeColumns), outcomeColumns).
		cellRight(plain, t.side.text(a), t.side.width).cell(plain, t.users.by(&a.Action, t.by), t.by)
	var below []line
	if t.inline {
		row = append(row, joined(t.details(a, t.width-columns(row.text())))...)
	} else {
		below = t.details(a, t.width-belowColumns-columns(branchMore))
	}
	below = append(below, messageLines(&a.Action, maxBelow)...)

	var b strings.Builder
	b.WriteString(row.render(t.theme, t.width))
	for i, l := range below {
		branch := branchMore
		if i == len(below)-1 && len(drawn) == 0 {
			branch = branchLast
		}
		l = append(t.branch(branch), l...)
		b.WriteString(l.render(t.theme, t.width))
	}
	for _, l := range drawn {
		b.WriteString(l.render(t.theme, t.width))
	}
	return b.String()
}

// details gives the rest of what is known: what it was about, and what there is
// to say about it, which for a failure comes first. The path is shortened from
// its front to fit into room.
func (t *actionTable) details(a *account.Account, room int) []line {
	said := t.said(a, room)
	rest := line{}.spaced(plain, paramsText(&a.Action)).spaced(unsure, actionTaints(&a.Action))
	if t.inline {
		for _, l := range said {
			room -= columns(l.text()) + columnGap
		}
	}
	path := printable(fileText(a.File))
	about := line{}.spaced(plain, cutFront(path, max(room-columns(rest.text())-columnGap, min(room, 16))))
	lines := append([]line{joined([]line{about, rest})}, said...)
	if a.Outcome == tracer.Failed {
		lines = append(said, lines[0])
	}
	return slices.DeleteFunc(lines, func(l line) bool { return len(l) == 0 })
}

// said tells the cause, in as many lines as it takes, then what else there is to
// note, then what is odd about its file, and what was warned of.
func (t *actionTable) said(a *account.Account, room int) []line {
	if t.inline {
		room = math.MaxInt32
	}
	var lines []line
	add := func(s style, text string) {
		if text == "" {
			return
		}
		for _, part := range wrap(printable(text), room) {
			lines = append(lines, line{}.add(s, part))
		}
	}
	if a.Cause != nil {
		add(outcomeNote(a.Outcome), a.Cause.String())
	}
	if a.NotLookedUp != "" {
		add(unsure, "not looked into: "+a.NotLookedUp)
	}
	if a.Cut {
		add(unsure, "the record was too long and was shortened")
	}
	need := nonEmpty(askedText(&a.Action), needText(&a.Action), t.users.awaitedText(&a.Action))
	if text := strings.Join(need, ", "); text != "" {
		add(plain, text)
	}
	if text := strings.Join(remarks(&a.Explained), ", "); text != "" {
		add(outcomeNote(a.Outcome), text)
	}
	add(unsure, suspicions(a))
	for i := range a.Warnings {
		add(unsure, a.Warnings[i].String())
	}
	return lines
}

func outcomeNote(o tracer.Outcome) style {
	if o == tracer.Failed {
		return bad
	}
	return plain
}

// messageLines quotes what was printed, the first few lines of it.
func messageLines(a *tracer.Action, most int) []line {
	texts := messageTexts(a.Messages)
	var lines []line
	for _, text := range texts[:min(len(texts), most)] {
		lines = append(lines, line{}.add(dim, "kernel: ").add(plain, `"`+text+`"`))
	}
	if more := len(texts) - most + a.MessagesDropped; more > 0 {
		lines = append(lines, line{}.add(dim, fmt.Sprintf("… and %s more (--json has them)", plural(uint64(more), "line"))))
	}
	return lines
}

// messageTexts gives what was printed line by line, without empty ones.
func messageTexts(messages []string) []string {
	var texts []string
	for _, m := range messages {
		for text := range strings.SplitSeq(m, "\n") {
			if strings.TrimSpace(text) != "" {
				texts = append(texts, text)
			}
		}
	}
	return texts
}

func clockTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("15:04:05")
}
