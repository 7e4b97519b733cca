package history

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/rs/zerolog"
)

// FirstWords are the values of --first-seen.
func FirstWords() []string { return []string{"modules", "files", "contents"} }

func parseFirst(word string) (journal.What, error) {
	switch word {
	case "modules":
		return journal.Modules, nil
	case "files":
		return journal.Files, nil
	case "contents":
		return journal.Contents, nil
	}
	return "", cli.Usagef("--%s %q: must be one of %s", FirstSeenFlag, cells.Short(word), strings.Join(FirstWords(), ", "))
}

// FirstSeen is something and its first record.
type FirstSeen struct {
	What  journal.What `json:"what"`
	Value string       `json:"value"`
	Seq   int64        `json:"seq"`
	ID    string       `json:"id"`
	Time  time.Time    `json:"time"`
	// Removed says that retention has removed that record. Then the rest is not known.
	Removed bool         `json:"removed,omitempty"`
	Changed bool         `json:"changed,omitempty"` // it is not as it was written
	Kind    journal.Kind `json:"kind,omitempty"`
	Module  string       `json:"module,omitempty"`
	Action  string       `json:"action,omitempty"`
	Outcome string       `json:"outcome,omitempty"`
	User    string       `json:"user,omitempty"`
	UID     *uint32      `json:"uid,omitempty"`
	File    string       `json:"file,omitempty"`
	Content string       `json:"content,omitempty"`
}

// FirstColumns are the columns of --first-seen in CSV.
func FirstColumns() []csvColumn[FirstSeen] {
	return []csvColumn[FirstSeen]{
		{"what", func(f *FirstSeen) string { return string(f.What) }},
		{"value", func(f *FirstSeen) string { return f.Value }},
		{"seq", func(f *FirstSeen) string { return strconv.FormatInt(f.Seq, 10) }},
		{"id", func(f *FirstSeen) string { return f.ID }},
		{"time", func(f *FirstSeen) string { return utcText(f.Time) }},
		{"removed", func(f *FirstSeen) string { return yesOrNo(f.Removed) }},
		{"changed", func(f *FirstSeen) string { return yesOrNo(f.Changed) }},
		{"kind", func(f *FirstSeen) string { return string(f.Kind) }},
		{"module", func(f *FirstSeen) string { return f.Module }},
		{"action", func(f *FirstSeen) string { return f.Action }},
		{"outcome", func(f *FirstSeen) string { return f.Outcome }},
		{"user", func(f *FirstSeen) string { return f.User }},
		{"uid", func(f *FirstSeen) string { return uidText(f.UID) }},
		{"file", func(f *FirstSeen) string { return f.File }},
		{"content", func(f *FirstSeen) string { return f.Content }},
	}
}

// showFirst lists what was seen first in the time that is asked for.
func (o *Options) showFirst(ctx context.Context, out io.Writer, wanted *Selection) error {
	what, err := parseFirst(o.FirstSeen)
	if err != nil {
		return err
	}
	return WithJournal(o.Journal, func(r *journal.Reader) error {
		shown, changed := 0, 0
		p := &FirstPrinter{Format: o.Format, Theme: term.ThemeOf(out), Width: term.Columns(out)}
		err := term.PrintTo(out, func(w io.Writer) error {
			if o.Format.CSV {
				if err := csvHeader(w, FirstColumns()); err != nil {
					return err
				}
			}
			for f, err := range o.firsts(r.FirstSeen(ctx, what, wanted.since, wanted.until)) {
				if err != nil {
					return err
				}
				one, err := firstSeenOf(ctx, r, f)
				if err != nil {
					return err
				}
				if shown++; one.Changed {
					changed++
				}
				if err := p.Print(w, one, shown == 1); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if shown == 0 {
			text, err := extentText(ctx, r)
			if err != nil {
				return err
			}
			zerolog.Ctx(ctx).Info().Msgf("no %s was seen first then: %s", what, text)
		}
		if changed > 0 {
			return ChangedError(changed)
		}
		return nil
	})
}

// firsts keeps the newest, in the order that is asked for.
func (o *Options) firsts(all iter.Seq2[journal.First, error]) iter.Seq2[journal.First, error] {
	if o.Limit == 0 && !o.Reverse {
		return all
	}
	return func(yield func(journal.First, error) bool) {
		var kept []journal.First
		for f, err := range all {
			if err != nil {
				yield(f, err)
				return
			}
			kept = append(kept, f)
		}
		if o.Limit > 0 {
			kept = kept[max(len(kept)-o.Limit, 0):]
		}
		if o.Reverse {
			slices.Reverse(kept)
		}
		for _, f := range kept {
			if !yield(f, nil) {
				return
			}
		}
	}
}

// firstSeenOf adds what its first record says, if that is still there.
func firstSeenOf(ctx context.Context, r *journal.Reader, f journal.First) (*FirstSeen, error) {
	one := &FirstSeen{What: f.What, Value: f.Value, Seq: f.Seq, ID: f.ID, Time: f.Time.UTC()}
	rec, err := r.Get(ctx, f.ID)
	switch {
	case errors.Is(err, journal.ErrNotFound):
		one.Removed = true
		return one, nil
	case err != nil && !IsChangedRecord(rec, err):
		return nil, err
	}
	one.Changed = err != nil
	one.Kind, one.Module, one.Action, one.Outcome = rec.Kind, rec.Module, rec.Action, rec.Outcome
	one.User, one.UID, one.File, one.Content = rec.User, rec.UID, rec.File, rec.Content
	return one, nil
}

// IsChangedRecord tells a record that is not as it was written, and could be read.
func IsChangedRecord(rec *journal.Record, err error) bool { return rec != nil && isChanged(rec, err) }

// FirstPrinter prints what was never seen before.
type FirstPrinter struct {
	Format RecordFormat
	Theme  term.Theme
	Width  int
}

// Print prints one of them; the first one below the header.
func (p *FirstPrinter) Print(w io.Writer, f *FirstSeen, first bool) error {
	switch {
	case p.Format.json:
		return WriteJSONLine(w, f)
	case p.Format.CSV:
		return csvLine(w, FirstColumns(), f)
	}
	text := p.text(f)
	if first {
		text = p.row(cells.Dim, "FIRST SEEN", "RECORD", "HOW", "BY").Add(cells.Dim, strings.ToUpper(string(f.What))).Paint(p.Theme, p.Width) + text
	}
	_, err := io.WriteString(w, text)
	return err
}

// The widths of its columns.
const (
	dateTimeColumns   = len(time.DateTime)
	howColumnsFirst   = len("load unloaded")
	userColumns       = len("christopher")
	recordColumnWidth = len("RECORD")
)

func (p *FirstPrinter) row(s cells.Style, at, number, how, by string) cells.Line {
	return cells.Line{}.Cell(cells.Dim, at, dateTimeColumns).CellRight(s, number, max(recordColumnWidth, len(number))).
		Cell(s, how, howColumnsFirst).Cell(s, by, userColumns)
}

// text gives the line of one. What does not fit there stands below it: nobody can ask
// for half a hash.
func (p *FirstPrinter) text(f *FirstSeen) string {
	s := cells.Plain
	if f.Changed {
		s = cells.Bad
	}
	l := p.row(s, DateTime(f.Time), strconv.FormatInt(f.Seq, 10), f.how(), cells.OrDash(f.User))
	values := render.NonEmpty(f.Value)
	if f.What == journal.Contents {
		values = render.NonEmpty(f.Value, f.File)
	}
	value := cells.Printable(strings.Join(values, "  "))
	if cells.Count(l.String())+cells.Count(value) <= p.Width {
		return l.Add(cells.Strong, value).Paint(p.Theme, p.Width)
	}
	text := l.Paint(p.Theme, p.Width)
	for i, v := range values {
		branch := cells.BranchMore
		if i == len(values)-1 {
			branch = cells.BranchLast
		}
		text += cells.Line{}.Add(cells.Dim, "  "+branch).Add(cells.Strong, cells.CutFront(cells.Printable(v), p.Width-4)).Paint(p.Theme, p.Width)
	}
	return text
}

// how it became known.
func (f *FirstSeen) how() string {
	switch {
	case f.Changed:
		return "changed since"
	case f.Removed:
		return "removed since"
	case f.Kind == journal.KindPresent:
		return "found loaded"
	case f.Kind == journal.KindAppeared:
		return "appeared"
	}
	return f.Action + " " + f.Outcome
}
