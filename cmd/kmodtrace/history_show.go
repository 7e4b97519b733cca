package main

import (
	"cmp"
	"fmt"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/kmodtrace/kmodtrace/internal/picture"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/service"
	"github.com/spf13/cobra"
)

func newHistoryShowCommand() *cobra.Command {
	var path, copyTo, from string
	var asJSON bool
	var picture picture.Options
	cmd := &cobra.Command{
		Use:   "show RECORD",
		Short: "Show one record in full",
		Long: `Show everything in the journal about one record, named by its id, the beginning of its id, or
its number. Exit status 1 also says that the record is not as it was written.

--timeline prints an action to scale: its stages and their times, and the messages at their
moments. --svg and --html make a picture and a page of it, each complete in one file. They show
only what was recorded. On standard output they are mutually exclusive, with each other
and with --json.

--copy writes the module's file as it was when it was loaded, where kmodtrace serve kept a copy of it
(copies: in its configuration). kmodtrace check and kmodtrace info read it.`,
		Example: "  kmodtrace history show 4711\n  kmodtrace history show 1f2e3d4c-123 --json\n  kmodtrace history show 4711 --timeline --html 4711.html",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return cli.Usagef("history show takes one record: its id, the beginning of the id, or its number")
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
				if copyTo != "" {
					return history.WriteCopy(rec, cmp.Or(from, service.CopiesOf(path)), copyTo)
				}
				if picture.Wanted() {
					a := history.ActionOf(rec)
					if a == nil {
						return fmt.Errorf("record %d: it is not an action that can be read (%s): there is nothing to draw", rec.Seq, rec.Kind)
					}
					if err := picture.DrawRecord(cmd.OutOrStdout(), a); err != nil {
						return err
					}
				}
				if !picture.Timeline && !picture.Alone() {
					if err := history.PrintRecord(cmd.OutOrStdout(), rec, changed, asJSON); err != nil {
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
	cmd.Flags().StringVar(&copyTo, "copy", "", "write the module's file into `FILE`, and nothing else")
	cmd.Flags().StringVar(&from, "copies", "", "the copies are in `DIRECTORY` (default copies beside the journal)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object (docs/schema/record.schema.json)")
	return cmd
}
