package main

import (
	"errors"
	"time"

	"github.com/kmodtrace/kmodtrace/fleet"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/fleets"
	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/spf13/cobra"
)

func newFleetVerifyCommand() *cobra.Command {
	o := new(fleetOptions)
	var anchors string
	var silent time.Duration
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Find records of many machines that are missing, changed or of two histories",
		Long: `Read all records, and report for each journal from where to where it is complete, and its problems:
  missing    records are not there, and no record says that retention removed them
  changed    a record does not have the hash of what it says
  rewritten  a record follows another one than the one that is there
  forked     two records have one number: the journal has two histories
  anchor     an anchor has another hash for a record, or is of one after the last
  cloned     two machines have one machine-id
  silent     nothing came for long, and no record says that the watching ended
  clock      times go back although nobody set the clock, or are in the future
  unproven   an earlier release sent records without what verifies them
Exit status 1 means that there are problems other than silent, clock and unproven.

Records that are newer than the newest of a machine can be missing without a trace. Give its journal as
another --source, or --anchors, to find that too. Records are sorted in a temporary file in TMPDIR, of
some 400 bytes each.`,
		Example: `  kmodtrace fleet verify --source http://127.0.0.1:9428
  kmodtrace fleet verify --source http://127.0.0.1:9428 --source /var/lib/kmodtrace --json
  kmodtrace fleet verify --source records.jsonl --anchors auth.log`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := o.open()
			if err != nil {
				return err
			}
			known, err := history.ReadAnchors(cmd.Context(), anchors, cmd.InOrStdin())
			if err != nil {
				return err
			}
			report, err := f.Verify(cmd.Context(), &fleet.VerifyOptions{Anchors: known, SilentAfter: silent})
			if err != nil {
				return history.JournalError(err)
			}
			if err := fleets.PrintReport(cmd.OutOrStdout(), o.format, report); err != nil {
				return err
			}
			switch {
			case report.Records == 0:
				return errors.New("the source has no record of kmodtrace")
			case !report.OK:
				return cli.WithHint(errors.New(verdictOf(report)), "kmodtrace audit verify tells of one journal more, on its machine")
			}
			return nil
		},
	}
	o.register(cmd, "fleet-verification")
	cmd.Flags().StringVar(&anchors, "anchors", "", "compare with the anchors in `FILE`, one on a line; - for standard input")
	cmd.Flags().DurationVar(&silent, "silent", 24*time.Hour, "report machines of which nothing came for `TIME`")
	return cmd
}

func verdictOf(r *fleet.Report) string {
	bad := 0
	for _, v := range r.Journals {
		if !v.OK {
			bad++
		}
	}
	return cells.Plural(bad, "journal") + " of " + cells.Plural(len(r.Journals), "journal") + " not complete and as written"
}
