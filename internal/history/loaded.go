package history

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/rs/zerolog"
)

// Loaded is what was in the kernel at some time, as JSON.
type Loaded struct {
	At   time.Time `json:"at"`
	Boot string    `json:"boot,omitempty"`
	// AsOf is the number of the last record that matters.
	AsOf    int64                  `json:"as_of"`
	Modules []journal.LoadedModule `json:"modules"`
	// Doubts say why that may be wrong; where there are none, it is right.
	Doubts []doubtJSON `json:"doubts"`
}

type doubtJSON struct {
	Reason journal.Reason `json:"reason"`
	Text   string         `json:"text"`
	Seq    int64          `json:"seq,omitempty"` // the record that shows it
	Time   *time.Time     `json:"time,omitempty"`
}

// nobodyWrites is the reason that the journal itself cannot know: it goes on as if
// somebody did.
const nobodyWrites journal.Reason = "not-watched"

// LoadedColumns are the columns of --loaded-at in CSV.
func LoadedColumns() []csvColumn[journal.LoadedModule] {
	type m = journal.LoadedModule
	return []csvColumn[m]{
		{"module", func(l *m) string { return l.Module }},
		{"kind", func(l *m) string { return string(l.Kind) }},
		{"time", func(l *m) string { return utcText(l.Time) }},
		{"user", func(l *m) string { return l.User }},
		{"uid", func(l *m) string { return uidText(l.UID) }},
		{"container", func(l *m) string { return l.Container }},
		{"file", func(l *m) string { return l.File }},
		{"content", func(l *m) string { return l.Content }},
		{"unwatched", func(l *m) string { return yesOrNo(l.Unwatched) }},
		{"seq", func(l *m) string { return strconv.FormatInt(l.Seq, 10) }},
		{"id", func(l *m) string { return l.ID }},
	}
}

func (o *Options) showLoaded(ctx context.Context, out io.Writer, now time.Time) error {
	at, err := parseTimeFlag("--loaded-at", o.LoadedAt, now)
	if err != nil {
		return err
	}
	if at.After(now) {
		return cli.Usagef("--loaded-at %s is still to come", DateTime(at))
	}
	return WithJournal(o.Journal, func(r *journal.Reader) error {
		l, err := LoadedAt(ctx, r, at)
		if err != nil {
			return err
		}
		if err := o.printLoaded(out, l); err != nil {
			return err
		}
		return l.sayDoubts(ctx, o.Format.isText())
	})
}

// LoadedAt asks what was loaded, and has a sentence for each doubt.
func LoadedAt(ctx context.Context, r *journal.Reader, at time.Time) (*Loaded, error) {
	l, err := r.LoadedAt(ctx, at)
	if err != nil {
		return nil, err
	}
	j := &Loaded{At: at.UTC(), Boot: l.Boot, AsOf: l.AsOf, Modules: l.Modules, Doubts: []doubtJSON{}}
	if j.Modules == nil {
		j.Modules = []journal.LoadedModule{}
	}
	for i := range j.Modules {
		j.Modules[i].Time = j.Modules[i].Time.UTC()
	}
	for _, d := range l.Doubts {
		text, err := doubtText(ctx, r, d)
		if err != nil {
			return nil, err
		}
		j.Doubts = append(j.Doubts, doubtOf(d.Reason, text, d.Seq, d.Time))
	}
	return j, j.doubtEnd(ctx, r)
}

func doubtOf(reason journal.Reason, text string, seq int64, at time.Time) doubtJSON {
	d := doubtJSON{Reason: reason, Text: text, Seq: seq}
	if !at.IsZero() {
		at = at.UTC()
		d.Time = &at
	}
	return d
}

// doubtEnd adds that nobody writes the journal now, so that after its last record
// nobody watched, perhaps: a service that is killed leaves no record.
func (l *Loaded) doubtEnd(ctx context.Context, r *journal.Reader) error {
	for _, d := range l.Doubts {
		if d.Reason == nobodyWrites || d.Reason == journal.NotYet {
			return nil
		}
	}
	for last, err := range r.Query(ctx, journal.Filter{Limit: 1}) {
		if err != nil && !isChanged(&last, err) {
			return err
		}
		if !l.At.After(last.Time) {
			return nil
		}
		if held, err := r.HasWriter(); held || err != nil {
			return err
		}
		l.Doubts = append(l.Doubts, doubtOf(nobodyWrites, fmt.Sprintf(
			"no kmodtrace serve writes this journal now: whether anybody watched after its last record, %d of %s, it does not tell",
			last.Seq, DateTime(last.Time)), last.Seq, last.Time))
	}
	return nil
}

// doubtText says it in a sentence.
func doubtText(ctx context.Context, r *journal.Reader, d journal.Doubt) (string, error) {
	of := fmt.Sprintf("%d of %s", d.Seq, DateTime(d.Time))
	switch d.Reason {
	case journal.NotYet:
		text, err := extentText(ctx, r)
		return "it is not known what was loaded then: " + text, err
	case journal.NotWatched:
		return "nobody watched at that time: what is listed was loaded at the last record before it, " + of, nil
	case journal.ClockSet:
		return "the clock was changed (record " + of + "): that time occurred twice or not at all; the list is for the last time before the next step", nil
	case journal.NoInventory:
		return "what had been loaded before the watching began was never looked at: more may have been loaded than is listed", nil
	}
	rec, err := r.Get(ctx, strconv.FormatInt(d.Seq, 10))
	if err != nil && !IsChangedRecord(rec, err) {
		if errors.Is(err, journal.ErrNotFound) {
			return fmt.Sprintf("record %s, which is not there any more, makes it doubtful", of), nil
		}
		return "", err
	}
	if d.Reason == journal.Unfinished {
		return fmt.Sprintf("how the %s of %s ended was not seen (record %s)", cells.Short(rec.Action), cells.OrDash(cells.Short(rec.Module)), of), nil
	}
	return fmt.Sprintf("what was done meanwhile was not seen: %s (record %s)", cells.ShortLine(NoteText(rec)), of), nil
}

func (o *Options) printLoaded(out io.Writer, l *Loaded) error {
	return term.PrintTo(out, func(w io.Writer) error {
		switch {
		case o.Format.json:
			return WriteJSONLine(w, l)
		case o.Format.CSV:
			if err := csvHeader(w, LoadedColumns()); err != nil {
				return err
			}
			for i := range l.Modules {
				if err := csvLine(w, LoadedColumns(), &l.Modules[i]); err != nil {
					return err
				}
			}
			return nil
		case len(l.Modules) == 0:
			return nil
		}
		return LoadedTable(l, term.ThemeOf(out), term.Columns(out), w)
	})
}

// LoadedTable prints what was loaded as a table.
func LoadedTable(l *Loaded, t term.Theme, width int, w io.Writer) error {
	name := len("MODULE")
	for i := range l.Modules {
		name = max(name, min(cells.Count(cells.Printable(l.Modules[i].Module)), 24))
	}
	row := func(module cells.Style, s cells.Style, name1, since, by, number string) cells.Line {
		return cells.Line{}.Cell(module, name1, name).Cell(s, since, loadedColumnsSince).Cell(s, by, userColumns).CellRight(s, number, max(recordColumnWidth, len(number)))
	}
	text := row(cells.Dim, cells.Dim, "MODULE", "LOADED", "BY", "RECORD").Add(cells.Dim, "FILE").Paint(t, width)
	for i := range l.Modules {
		m := &l.Modules[i]
		s, since, by := cells.Plain, DateTime(m.Time), cells.OrDash(m.User)
		if m.Kind != journal.KindAction { // an inventory found it, or it appeared
			s, since, by = cells.Dim, "before "+since, "not known"
		}
		if m.Unwatched {
			s, by = cells.Unsure, by+"?"
		}
		l := row(cells.Strong, s, m.Module, since, by, strconv.FormatInt(m.Seq, 10))
		text += l.Add(cells.Plain, cells.CutFront(cells.Printable(m.File), max(width-cells.Count(l.String()), 8))).Paint(t, width)
	}
	_, err := io.WriteString(w, text)
	return err
}

const loadedColumnsSince = len("before ") + dateTimeColumns

// sayDoubts makes them the command's error: its answer may be wrong.
func (l *Loaded) sayDoubts(ctx context.Context, text bool) error {
	log := zerolog.Ctx(ctx)
	unwatched := 0
	for i := range l.Modules {
		if l.Modules[i].Unwatched {
			unwatched++
		}
	}
	if unwatched > 0 && text {
		log.Info().Msgf("%s with ?: there was a gap in the recording since that load: another process may have unloaded it and loaded it again",
			cells.Plural(uint64(unwatched), "module"))
	}
	if len(l.Doubts) == 0 {
		if len(l.Modules) == 0 && text {
			log.Info().Msg("no module was loaded then")
		}
		return nil
	}
	for _, d := range l.Doubts {
		log.Warn().Str("reason", string(d.Reason)).Int64("seq", d.Seq).Msg(d.Text)
	}
	answer := "what was loaded at " + DateTime(l.At) + " is not known for certain"
	if l.Boot == "" {
		answer = "what was loaded at " + DateTime(l.At) + " is not known"
	}
	return &cli.IncompleteError{Text: answer}
}
