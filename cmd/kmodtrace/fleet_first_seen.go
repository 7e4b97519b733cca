package main

import (
	"time"

	"github.com/kmodtrace/kmodtrace/fleet"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/fleets"
	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

func newFleetFirstSeenCommand() *cobra.Command {
	o := new(fleetOptions)
	var since, what string
	cmd := &cobra.Command{
		Use:   "first-seen",
		Short: "List what was seen on no machine before",
		Long: `List the contents of module files, by their SHA-256, that no machine had before a time; with --what
modules the names. What few machines have comes first. A content is known where kmodtrace serve saw
the load and read the file.`,
		Example: "  kmodtrace fleet first-seen --since 7d --source http://127.0.0.1:9428",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, err := history.ParseTime(since, time.Now())
			if err != nil {
				return cli.Usagef("--since: %w", err)
			}
			if what != string(fleet.Contents) && what != string(fleet.Modules) {
				return cli.Usagef("--what %q: must be contents or modules", cells.Short(what))
			}
			f, err := o.open()
			if err != nil {
				return err
			}
			all, err := f.FirstSeen(cmd.Context(), fleet.What(what), from)
			if err != nil {
				return history.JournalError(err)
			}
			if len(all) == 0 {
				zerolog.Ctx(cmd.Context()).Info().Msgf("nothing was seen first since %s", history.DateTime(from))
			}
			return fleets.Print(cmd.OutOrStdout(), o.format, fleets.FirstColumns(), all)
		},
	}
	o.register(cmd, "fleet-first")
	cmd.Flags().StringVar(&since, "since", "1d", "not before this `TIME`")
	cmd.Flags().StringVar(&what, "what", string(fleet.Contents), "list `WHAT`: contents or modules")
	cli.MustComplete(cmd, "what", []string{string(fleet.Contents), string(fleet.Modules)})
	return cmd
}
