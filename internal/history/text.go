package history

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/rule"
)

// Text renders records as watch does, with their numbers in place of how long
// they took, and a line wherever another day or boot begins.
type Text struct {
	theme term.Theme
	width int
	table *render.ActionTable

	day  string
	boot *string // of the record before; nil: there was none
}

// NewText takes the highest number that there is.
func NewText(t term.Theme, width int, now time.Time, last int64) *Text {
	number := render.Column{Title: "RECORD", Width: max(len("RECORD"), len(strconv.FormatInt(last, 10)))}
	return &Text{theme: t, width: width, table: render.NewActionTableWith(t, width, number), day: now.Local().Format(time.DateOnly)}
}

func (h *Text) begin(w io.Writer) error {
	_, err := io.WriteString(w, h.table.Header())
	return err
}

// Record prints a record; changed says that it is not as it was written.
func (h *Text) Record(w io.Writer, r *journal.Record, changed bool) error {
	_, err := io.WriteString(w, h.Render(r, changed))
	return err
}

// Render gives the lines of a record.
func (h *Text) Render(r *journal.Record, changed bool) string {
	text := h.divider(r)
	switch a := ActionOf(r); {
	case changed:
		return text + h.note(r, "changed", cells.Bad, fmt.Sprintf("record %d is not as it was written: what it says cannot be trusted (kmodtrace history show has it)", r.Seq))
	case a != nil:
		return text + h.action(r, a)
	case r.Kind == journal.KindAction, r.Kind == journal.KindPending:
		return text + h.note(r, cells.OrDash(r.Action), cells.Unsure, strings.Join(render.NonEmpty(r.Module, r.Outcome, r.Cause, render.LabelledWord("by ", r.User)), " ")+
			"; what else was recorded cannot be read")
	case r.Kind == journal.KindFinding:
		severity := rule.Severity(r.Outcome)
		return text + h.note(r, string(r.Kind), render.SeverityStyle(severity), fmt.Sprintf("%s (%s): %s; record %d", r.Cause, severity, NoteText(r), r.Seq))
	case r.Kind.Gap():
		return text + h.note(r, string(r.Kind), cells.Unsure, NoteText(r))
	}
	return text + h.note(r, string(r.Kind), cells.Plain, NoteText(r))
}

func (h *Text) action(r *journal.Record, a *record.Record) string {
	h.table.Side.Text = func(*record.Record) string { return strconv.FormatInt(r.Seq, 10) }
	return h.table.Render(a)
}

// divider is the line where another day or boot begins. The first record needs none if
// it is of today.
func (h *Text) divider(r *journal.Record) string {
	day := r.Time.Local().Format(time.DateOnly)
	newBoot := h.boot != nil && *h.boot != r.Boot
	if day == h.day && !newBoot {
		h.boot = &r.Boot
		return ""
	}
	l := cells.Line{}.Add(cells.Dim, day)
	if h.boot == nil || newBoot {
		l = l.Spaced(cells.Dim, render.LabelledWord("boot ", shortBoot(r.Boot)))
	}
	h.day, h.boot = day, &r.Boot
	return l.Paint(h.theme, h.width)
}

// note is what is not a row of the table: as wide as the line.
func (h *Text) note(r *journal.Record, kind string, s cells.Style, said string) string {
	before := cells.Line{}.Cell(cells.Dim, render.ClockTime(r.Time.Local()), render.TimeColumns).Cell(s, kind, max(render.KindColumns, min(len(kind), len("inventory"))))
	indent := cells.Count(before.String())
	var b strings.Builder
	for _, text := range cells.Wrap(said, h.width-indent) {
		b.WriteString(append(before, cells.Line{}.Add(s, text)...).Paint(h.theme, h.width))
		before = cells.Line{}.Add(cells.Plain, strings.Repeat(" ", indent))
	}
	return b.String()
}

// NoteText is the sentence of what is not an action: its own, or one for its kind.
func NoteText(r *journal.Record) string {
	var body struct{ Text string }
	_ = json.Unmarshal(r.Body, &body)
	if body.Text == "" {
		body.Text = kindText(r)
	}
	if r.Module != "" && r.Kind != journal.KindFinding {
		return r.Module + " " + body.Text
	}
	return body.Text
}

func kindText(r *journal.Record) string {
	n := max(r.Count, 0)
	switch r.Kind {
	case journal.KindInventory:
		return "all modules that were loaded: " + strconv.FormatInt(n, 10)
	case journal.KindPresent:
		return "is loaded"
	case journal.KindStarted:
		return "the watching began"
	case journal.KindStopped:
		return "the watching ended"
	case journal.KindLost:
		if n == 1 {
			return "1 event was lost"
		}
		return cells.Plural(uint64(n), "event") + " were lost"
	case journal.KindLate:
		return "the watching began late: what is not in the journal from before is not known"
	case journal.KindClock:
		return "the clock was set"
	case journal.KindCorrupt:
		return "the journal was damaged and set aside; this one took its place"
	case journal.KindRetention:
		return fmt.Sprintf("%s removed, the oldest, as the configuration says", cells.Plural(uint64(n), "record"))
	case journal.KindThinned:
		return fmt.Sprintf("%s removed from between others, of what failed or was only asked for: there was no room", cells.Plural(uint64(n), "record"))
	case journal.KindFolded:
		return cells.Plural(uint64(n), "attempt") + " of one user told in this record, not one by one"
	case journal.KindPending:
		return "had not ended when this was recorded"
	case journal.KindAppeared:
		return "is loaded, and nobody was seen to load it"
	case journal.KindVanished:
		return "is not loaded any more, and nobody was seen to unload it"
	case journal.KindDiscarded:
		return fmt.Sprintf("the oldest copies of modules' files were removed, %d of them", n)
	case journal.KindFinding:
		return "something was found, and what it is cannot be read"
	case journal.KindBlind:
		return "the watching was disturbed: what happened meanwhile is not known"
	}
	return string(r.Kind)
}
