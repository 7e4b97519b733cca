package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/account"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/service"
	"github.com/spf13/cobra"
)

func newHistoryCommand() *cobra.Command {
	opts := new(historyOptions)
	cmd := &cobra.Command{
		Use:   "history",
		Short: "Ask the journal what was done with modules",
		Long: `Show what kmodtrace serve has recorded: loads, unloads and requests, by whom, what
became of them and why; and between them each gap in the watching. Oldest first.

It works while the service runs, and on a copy of the journal: the file and the one beside
it that ends in -wal.`,
		Example: `  kmodtrace history --since yesterday
  kmodtrace history --module dummy --outcome failed
  kmodtrace history --user alice --last 20
  kmodtrace history --journal ./copy.db --json
  kmodtrace history show 4711`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return opts.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	flags := cmd.Flags()
	addJournalFlag(cmd, &opts.journal)
	flags.StringVar(&opts.filter.Module, "module", "", "only of the module, or the requested alias, of this `NAME`")
	flags.StringVar(&opts.filter.Action, "action", "", "only of this `KIND`: load, unload or request")
	flags.StringVar(&opts.filter.Outcome, "outcome", "", "only with this `OUTCOME`: live, unloaded, failed, answered or pending")
	flags.StringVar(&opts.filter.Cause, "cause", "", "only what failed for this `CODE` (kmodtrace explain lists them)")
	flags.StringVar(&opts.filter.User, "user", "", "only what this `USER` was behind, by the name or number of the login")
	flags.StringVar(&opts.filter.Container, "container", "", "only from the container of this `ID`")
	flags.StringVar(&opts.filter.File, "file", "", "only loads of the file at this `PATH`")
	flags.StringVar(&opts.filter.Boot, "boot", "", "only of the boot of this `ID`")
	flags.StringVar(&opts.since, "since", "", "only from this `TIME` on: 2026-03-01, 2026-03-01 14:00, 14:00, today, yesterday, or 2h or 7d ago")
	flags.StringVar(&opts.until, "until", "", "only before this `TIME`")
	flags.IntVar(&opts.last, "last", 0, "only the last `N`; 0 for all")
	flags.BoolVar(&opts.json, "json", false, "print each record as JSON, a line each")
	mustComplete(cmd, "action", words(actionKinds()))
	mustComplete(cmd, "outcome", words(outcomes()))
	mustComplete(cmd, "cause", codeNames())
	cmd.AddCommand(newHistoryShowCommand())
	return cmd
}

func addJournalFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "journal", service.DefaultJournal, "ask the journal in this `FILE`")
}

type historyOptions struct {
	journal      string
	filter       journal.Filter
	since, until string
	last         int
	json         bool
}

func (o *historyOptions) run(ctx context.Context, out io.Writer) error {
	filter, err := o.parse(time.Now())
	if err != nil {
		return err
	}
	return withJournal(o.journal, func(r *journal.Reader) error {
		records, err := o.records(ctx, r, filter)
		if err != nil {
			return err
		}
		return printTo(out, func(w io.Writer) error {
			h := newHistoryText(themeOf(out), columnsOf(out), time.Now())
			for rec, err := range records {
				if err := errors.Join(err, o.print(w, h, &rec)); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// records gives those asked for, oldest first. Of the last ones the journal is asked
// from its end.
func (o *historyOptions) records(ctx context.Context, r *journal.Reader, f journal.Filter) (func(func(journal.Record, error) bool), error) {
	if o.last == 0 {
		f.OldestFirst = true
		return r.Query(ctx, f), nil
	}
	f.Limit = o.last
	var last []journal.Record
	for rec, err := range r.Query(ctx, f) {
		if err != nil {
			return nil, err
		}
		last = append(last, rec)
	}
	slices.Reverse(last)
	return func(yield func(journal.Record, error) bool) {
		for _, rec := range last {
			if !yield(rec, nil) {
				return
			}
		}
	}, nil
}

func (o *historyOptions) print(w io.Writer, h *historyText, rec *journal.Record) error {
	if !o.json {
		_, err := io.WriteString(w, h.render(rec))
		return err
	}
	line, err := jsonLine(historyRecordOf(rec))
	if err != nil {
		return err
	}
	_, err = w.Write(line)
	return err
}

// parse checks what is asked for.
func (o *historyOptions) parse(now time.Time) (f journal.Filter, err error) {
	f = o.filter
	if o.last < 0 {
		return f, usageErrorf("--last %d: want a number that is not negative", o.last)
	}
	for _, w := range []struct {
		flag, value string
		known       []string
	}{
		{"action", f.Action, words(actionKinds())}, {"outcome", f.Outcome, words(outcomes())}, {"cause", f.Cause, codeNames()},
	} {
		if w.value != "" && !slices.Contains(w.known, w.value) {
			return f, usageErrorf("--%s %q: want one of %v", w.flag, shortText(w.value), w.known)
		}
	}
	for _, t := range []struct {
		flag, text string
		into       *time.Time
	}{{"since", o.since, &f.Since}, {"until", o.until, &f.Until}} {
		if t.text == "" {
			continue
		}
		if *t.into, err = parseTime(t.text, now); err != nil {
			return f, usageErrorf("--%s: %w", t.flag, err)
		}
	}
	return f, nil
}

// withJournal opens a journal for questions. An error says what to do.
func withJournal(path string, ask func(*journal.Reader) error) error {
	r, err := journal.OpenReadOnly(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &exitError{status: exitRefused, err: err, hint: "kmodtrace serve writes one; --journal names another file"}
	case errors.Is(err, fs.ErrPermission):
		return &exitError{status: exitRefused, err: err, hint: "ask as root, for instance by sudo"}
	case err != nil:
		return err
	}
	return errors.Join(ask(r), r.Close())
}

// historyRecord is a record as JSON.
type historyRecord struct {
	Seq  int64           `json:"seq"`
	ID   string          `json:"id"`
	Time time.Time       `json:"time"`
	Boot string          `json:"boot"`
	Kind journal.Kind    `json:"kind"`
	Hash journal.Sum     `json:"hash"`
	Body json.RawMessage `json:"record"`
}

func historyRecordOf(r *journal.Record) historyRecord {
	body := json.RawMessage(r.Body)
	if !json.Valid(body) {
		body, _ = json.Marshal(printable(string(r.Body)))
	}
	return historyRecord{r.Seq, r.ID, r.Time, r.Boot, r.Kind, r.Hash, body}
}

// historyText renders records as watch does, and a line wherever another day begins.
type historyText struct {
	theme theme
	width int
	table *actionTable
	day   string
}

func newHistoryText(t theme, width int, now time.Time) *historyText {
	return &historyText{theme: t, width: width, table: newActionTable(t, width), day: now.Format(time.DateOnly)}
}

func (h *historyText) render(r *journal.Record) string {
	text := ""
	if day := r.Time.Local().Format(time.DateOnly); day != h.day {
		h.day = day
		text = line{}.add(dim, day).render(h.theme, h.width)
	}
	if r.Kind == journal.KindAction {
		var a account.Account
		if json.Unmarshal(r.Body, &a) == nil {
			a.Time = r.Time.Local()
			return text + h.table.render(&a)
		}
	}
	return text + h.note(r)
}

// note is the line of what is no action.
func (h *historyText) note(r *journal.Record) string {
	var body struct{ Text string }
	_ = json.Unmarshal(r.Body, &body)
	style := plain
	if r.Kind.Gap() {
		style = unsure
	}
	said := body.Text
	if r.Module != "" {
		said = r.Module + " " + said
	}
	const kindColumns = len("inventory")
	before := line{}.cell(dim, clockTime(r.Time.Local()), timeColumns).cell(style, string(r.Kind), kindColumns)
	var b strings.Builder
	for _, text := range wrap(said, h.width-timeColumns-kindColumns-2*columnGap) {
		b.WriteString(append(before, line{}.add(style, text)...).render(h.theme, h.width))
		before = line{}.cell(plain, "", timeColumns).cell(plain, "", kindColumns)
	}
	return b.String()
}

func newHistoryShowCommand() *cobra.Command {
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "show RECORD",
		Short:   "Show one record in full",
		Long:    "Show all that the journal knows of one record: its id, the beginning of its id, or its number.",
		Example: "  kmodtrace history show 4711\n  kmodtrace history show 1f2e3d4c-123 --json",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageErrorf("want one record: its id, the beginning of that, or its number")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return withJournal(path, func(r *journal.Reader) error {
				rec, err := r.Get(cmd.Context(), args[0])
				if err != nil {
					return fmt.Errorf("record %s: %w", shortText(args[0]), err)
				}
				return showRecord(cmd.OutOrStdout(), rec, asJSON)
			})
		},
	}
	addJournalFlag(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func showRecord(out io.Writer, rec *journal.Record, asJSON bool) error {
	if asJSON {
		return printJSON(out, historyRecordOf(rec))
	}
	var a account.Account
	t := newResultText(themeOf(out), columnsOf(out))
	return printTo(out, func(w io.Writer) error {
		fmt.Fprintf(w, "record %d  %s  %s\nboot %s\nhash %s\n\n", rec.Seq, printable(rec.ID),
			rec.Time.Local().Format("2006-01-02 15:04:05.000 -0700"), printable(rec.Boot), rec.Hash)
		if rec.Kind != journal.KindAction || json.Unmarshal(rec.Body, &a) != nil {
			_, err := io.WriteString(w, newHistoryText(themeOf(out), columnsOf(out), rec.Time).note(rec))
			return err
		}
		_, err := io.WriteString(w, t.text(t.explanation(&a)))
		return err
	})
}
