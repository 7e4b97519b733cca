package main

import (
	"fmt"
	"io"
	"strconv"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/kmodtrace/kmodtrace/internal/picture"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/spf13/cobra"
)

func newHistoryShowCommand() *cobra.Command {
	var path string
	var asJSON bool
	var picture picture.Options
	cmd := &cobra.Command{
		Use:   "show RECORD",
		Short: "Show one record in full",
		Long: `Show all that the journal knows of one record, named by its id, the beginning of its id, or
its number. Exit status 1 also says that the record is not as it was written.

--timeline prints an action to scale: its stages and their times, and the messages at their
moments. --svg and --html make a picture and a page of it that need nothing else to be
seen. Nothing is looked up for them: what was not recorded is not in them. They do not go
with each other on standard output, nor with --json.`,
		Example: "  kmodtrace history show 4711\n  kmodtrace history show 1f2e3d4c-123 --json\n  kmodtrace history show 4711 --timeline --html 4711.html",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return cli.Usagef("want one record: its id, the beginning of that, or its number")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := picture.Check(asJSON); err != nil {
				return err
			}
			return history.WithJournal(path, func(r *journal.Reader) error {
				rec, err := r.Get(cmd.Context(), args[0])
				changed := history.IsChangedRecord(rec, err)
				if err != nil && !changed {
					return history.JournalError(fmt.Errorf("record %s: %w", cells.Short(args[0]), err))
				}
				if picture.Wanted() {
					a := history.ActionOf(rec)
					if a == nil {
						return fmt.Errorf("record %d: it is no action that can be read (%s): there is nothing to draw", rec.Seq, rec.Kind)
					}
					if err := picture.DrawRecord(cmd.OutOrStdout(), a); err != nil {
						return err
					}
				}
				if !picture.Timeline && !picture.Alone() {
					if err := showRecord(cmd.OutOrStdout(), rec, changed, asJSON); err != nil {
						return err
					}
				}
				if changed {
					return history.ChangedError(1)
				}
				return nil
			})
		},
	}
	history.AddJournalFlag(cmd, &path)
	picture.Register(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object (docs/schema/record.schema.json)")
	return cmd
}

func showRecord(out io.Writer, rec *journal.Record, changed, asJSON bool) error {
	return term.PrintTo(out, func(w io.Writer) error {
		if asJSON {
			return history.WriteJSONLine(w, history.Document(rec, changed))
		}
		t := render.NewResultText(term.ThemeOf(out), term.Columns(out))
		var lines []cells.Line
		if a := history.ActionOf(rec); a != nil {
			lines = t.Explanation(a)
			lines = lines[:len(lines)-1] // the empty one
		} else {
			lines = append(lines, cells.Line{}.Add(cells.Strong, string(rec.Kind)).Spaced(cells.Plain, rec.Module))
			lines = append(lines, t.Wrapped("says", cells.Plain, saidBy(rec))...)
		}
		_, err := io.WriteString(w, t.Text(append(lines, proofOf(t, rec, changed)...)))
		return err
	})
}

// saidBy is what a record says of what is no action, and as much as possible of an
// action that cannot be read.
func saidBy(rec *journal.Record) string {
	if rec.Kind != journal.KindAction {
		return history.NoteText(rec)
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
