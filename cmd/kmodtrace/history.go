package main

import (
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/spf13/cobra"
)

func newHistoryCommand() *cobra.Command {
	opts := new(history.Options)
	cmd := &cobra.Command{
		Use:   "history",
		Short: "Query the journal: what was done with modules, by whom and when",
		Long: `Show what kmodtrace serve has recorded: loads, unloads and requests, who made them, their
outcomes and causes. Each gap in the recording is shown between them, because what happened
then is not known. Oldest first. The column RECORD has each record's number, for
history show.

A filter that only actions can match hides the gaps; their number is then reported on standard
error, and --gaps shows them. Values of one flag are alternatives, and all flags must agree.
Times are in the zone of TZ, or of this machine. In JSON and CSV they are in UTC.

--first-seen lists what was never seen before on this machine: modules, files, or the
contents of files by their SHA-256. --loaded-at lists the modules that were loaded at a time,
who loaded each and when. Reasons for doubt are reported on standard error, with exit status 5.

CSV has a header and a line for each record, all of it in quotes; control characters come as
escapes. A ' stands before a text that a spreadsheet would take for a formula, and before one
that begins with '. The columns of records are
` + history.ColumnsText(history.RecordColumns()) + `
those of --first-seen
` + history.ColumnsText(history.FirstColumns()) + `
and those of --loaded-at
` + history.ColumnsText(history.LoadedColumns()) + `

It works while the service runs, and on a copy of the journal: the file and the file beside it
that ends in -wal. Exit status 1 also means that records were changed after they were written.`,
		Example: `  kmodtrace history --since yesterday
  kmodtrace history --since 2026-03 --until 2026-04 --module 'snd-*' --gaps
  kmodtrace history --user alice --outcome failed -n 20
  kmodtrace history --boot -1 --kind gap
  kmodtrace history --first-seen files --since 7d
  kmodtrace history --loaded-at '2026-03-01 14:00'
  kmodtrace history --journal ./copy.db --csv > actions.csv
  kmodtrace history show 4711`,
		Args: func(cmd *cobra.Command, args []string) error {
			// The word may stand apart from its flag.
			if f := cmd.Flags().Lookup(history.FirstSeenFlag); f.Changed && f.Value.String() == f.NoOptDefVal && len(args) == 1 {
				opts.FirstSeen, args = args[0], nil
			}
			return noArguments(cmd, args)
		},
		ValidArgs: history.FirstWords(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := opts.Check(cmd); err != nil {
				return err
			}
			return opts.Run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	history.AddJournalFlag(cmd, &opts.Journal)
	opts.Asked.Register(cmd)
	flags.StringVar(&opts.FirstSeen, history.FirstSeenFlag, "", "list `WHAT` was never seen before: modules, files or contents")
	flags.Lookup(history.FirstSeenFlag).NoOptDefVal = history.FirstWords()[0]
	flags.StringVar(&opts.LoadedAt, "loaded-at", "", "list what was in the kernel at this `TIME`")
	flags.IntVarP(&opts.Limit, "limit", "n", 0, "only the newest `N`; 0 for all")
	flags.BoolVar(&opts.Reverse, "reverse", false, "newest first")
	opts.Format.Register(cmd)
	cli.MustComplete(cmd, history.FirstSeenFlag, history.FirstWords())
	cmd.AddCommand(newHistoryShowCommand())
	return cmd
}
