package history

import (
	"fmt"
	"io"
	"strconv"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/jsonline"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/rule"
)

// PrintRecord prints all that is known of a record.
func PrintRecord(out io.Writer, rec *journal.Record, changed, asJSON bool) error {
	return term.PrintTo(out, func(w io.Writer) error {
		if asJSON {
			return WriteJSONLine(w, Document(rec, changed))
		}
		t := render.NewResultText(term.ThemeOf(out), term.Columns(out))
		var lines []cells.Line
		a, f := ActionOf(rec), findingOf(rec)
		switch {
		case a != nil:
			lines = t.Explanation(a)
			lines = lines[:len(lines)-1] // the empty one
		case f != nil:
			lines = t.FindingAtLength(f)
		default:
			lines = append(lines, cells.Line{}.Add(cells.Strong, string(rec.Kind)).Spaced(cells.Plain, rec.Module))
			lines = append(lines, t.Wrapped("says", cells.Plain, saidBy(rec))...)
		}
		_, err := io.WriteString(w, t.Text(append(lines, proofOf(t, rec, changed)...)))
		return err
	})
}

// findingOf reads a finding; nil where the record is none.
func findingOf(rec *journal.Record) *rule.Finding {
	f := new(rule.Finding)
	if rec.Kind != journal.KindFinding || jsonline.Unmarshal(rec.Body, f) != nil {
		return nil
	}
	return f
}

// saidBy is what a record says of what is not an action, and as much as possible of an
// action that cannot be read.
func saidBy(rec *journal.Record) string {
	if rec.Kind != journal.KindAction && rec.Kind != journal.KindPending {
		return NoteText(rec)
	}
	return fmt.Sprintf("%s %s %s, and what cannot be read: %.300q", rec.Action, rec.Outcome, rec.Cause, rec.Body)
}

// proofOf are the lines that say where a record stands in the chain.
func proofOf(t *render.ResultText, rec *journal.Record, changed bool) []cells.Line {
	lines := []cells.Line{
		render.Labelled("record", cells.Plain, strconv.FormatInt(rec.Seq, 10)),
		render.Labelled("id", cells.Plain, rec.ID),
		render.Labelled("time", cells.Plain, rec.Time.Local().Format("2006-01-02 15:04:05.000000000 -0700")),
		render.Labelled("boot", cells.Plain, rec.Boot),
	}
	if rec.Count != 0 {
		lines = append(lines, render.Labelled("count", cells.Plain, strconv.FormatInt(rec.Count, 10)))
	}
	lines = append(lines, render.Labelled("hash", cells.Plain, rec.Hash.String()))
	if changed {
		lines = append(lines, t.Wrapped("changed", cells.Bad, "this is not what was written: it does not have that hash")...)
	}
	return lines
}
