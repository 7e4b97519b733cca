package main

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/rs/zerolog"
)

// firstWords are the values of --first-seen.
func firstWords() []string { return []string{"modules", "files", "contents"} }

func parseFirst(word string) (journal.What, error) {
	switch word {
	case "modules":
		return journal.Modules, nil
	case "files":
		return journal.Files, nil
	case "contents":
		return journal.Contents, nil
	}
	return "", usageErrorf("--%s %q: want one of %s", firstSeenFlag, shortText(word), strings.Join(firstWords(), ", "))
}

// firstSeen is something and its first record.
type firstSeen struct {
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

func firstColumns() []csvColumn[firstSeen] {
	return []csvColumn[firstSeen]{
		{"what", func(f *firstSeen) string { return string(f.What) }},
		{"value", func(f *firstSeen) string { return f.Value }},
		{"seq", func(f *firstSeen) string { return strconv.FormatInt(f.Seq, 10) }},
		{"id", func(f *firstSeen) string { return f.ID }},
		{"time", func(f *firstSeen) string { return utcText(f.Time) }},
		{"removed", func(f *firstSeen) string { return yesOrNo(f.Removed) }},
		{"changed", func(f *firstSeen) string { return yesOrNo(f.Changed) }},
		{"kind", func(f *firstSeen) string { return string(f.Kind) }},
		{"module", func(f *firstSeen) string { return f.Module }},
		{"action", func(f *firstSeen) string { return f.Action }},
		{"outcome", func(f *firstSeen) string { return f.Outcome }},
		{"user", func(f *firstSeen) string { return f.User }},
		{"uid", func(f *firstSeen) string { return uidText(f.UID) }},
		{"file", func(f *firstSeen) string { return f.File }},
		{"content", func(f *firstSeen) string { return f.Content }},
	}
}

// showFirst lists what was seen first in the time that is asked for.
func (o *historyOptions) showFirst(ctx context.Context, out io.Writer, wanted *historyFilter) error {
	what, err := parseFirst(o.firstSeen)
	if err != nil {
		return err
	}
	return withJournal(o.journal, func(r *journal.Reader) error {
		shown, changed := 0, 0
		p := &firstPrinter{format: o.format, theme: themeOf(out), width: columnsOf(out)}
		err := printTo(out, func(w io.Writer) error {
			if o.format.csv {
				if err := csvHeader(w, firstColumns()); err != nil {
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
				if err := p.print(w, one, shown == 1); err != nil {
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
			return changedError(changed)
		}
		return nil
	})
}

// firsts keeps the newest, in the order that is asked for.
func (o *historyOptions) firsts(all iter.Seq2[journal.First, error]) iter.Seq2[journal.First, error] {
	if o.limit == 0 && !o.reverse {
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
		if o.limit > 0 {
			kept = kept[max(len(kept)-o.limit, 0):]
		}
		if o.reverse {
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
func firstSeenOf(ctx context.Context, r *journal.Reader, f journal.First) (*firstSeen, error) {
	one := &firstSeen{What: f.What, Value: f.Value, Seq: f.Seq, ID: f.ID, Time: f.Time.UTC()}
	rec, err := r.Get(ctx, f.ID)
	switch {
	case errors.Is(err, journal.ErrNotFound):
		one.Removed = true
		return one, nil
	case err != nil && !isChangedRecord(rec, err):
		return nil, err
	}
	one.Changed = err != nil
	one.Kind, one.Module, one.Action, one.Outcome = rec.Kind, rec.Module, rec.Action, rec.Outcome
	one.User, one.UID, one.File, one.Content = rec.User, rec.UID, rec.File, rec.Content
	return one, nil
}

func isChangedRecord(rec *journal.Record, err error) bool { return rec != nil && isChanged(rec, err) }

type firstPrinter struct {
	format recordFormat
	theme  theme
	width  int
}

func (p *firstPrinter) print(w io.Writer, f *firstSeen, first bool) error {
	switch {
	case p.format.json:
		return writeJSONLine(w, f)
	case p.format.csv:
		return csvLine(w, firstColumns(), f)
	}
	text := p.text(f)
	if first {
		text = p.row(dim, "FIRST SEEN", "RECORD", "HOW", "BY").add(dim, strings.ToUpper(string(f.What))).render(p.theme, p.width) + text
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

func (p *firstPrinter) row(s style, at, number, how, by string) line {
	return line{}.cell(dim, at, dateTimeColumns).cellRight(s, number, max(recordColumnWidth, len(number))).
		cell(s, how, howColumnsFirst).cell(s, by, userColumns)
}

// text gives the line of one. What does not fit there stands below it: nobody can ask
// for half a hash.
func (p *firstPrinter) text(f *firstSeen) string {
	s := plain
	if f.Changed {
		s = bad
	}
	l := p.row(s, dateTime(f.Time), strconv.FormatInt(f.Seq, 10), f.how(), orDash(f.User))
	values := nonEmpty(f.Value)
	if f.What == journal.Contents {
		values = nonEmpty(f.Value, f.File)
	}
	value := printable(strings.Join(values, "  "))
	if columns(l.text())+columns(value) <= p.width {
		return l.add(strong, value).render(p.theme, p.width)
	}
	text := l.render(p.theme, p.width)
	for i, v := range values {
		branch := branchMore
		if i == len(values)-1 {
			branch = branchLast
		}
		text += line{}.add(dim, "  "+branch).add(strong, cutFront(printable(v), p.width-4)).render(p.theme, p.width)
	}
	return text
}

// how it became known.
func (f *firstSeen) how() string {
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
