package main

import (
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/fleets"
	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

func newFleetLoadedCommand() *cobra.Command {
	o := new(fleetOptions)
	var at string
	cmd := &cobra.Command{
		Use:   "loaded",
		Short: "List what was loaded on each machine at a time",
		Long: `List the modules that were in the kernel of each machine at a time, by the last inventory before it and
what was loaded and unloaded since. Reasons for doubt are reported on standard error, with exit
status 5.`,
		Example: "  kmodtrace fleet loaded --at '2026-03-01 14:00' --source http://127.0.0.1:9428",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			when, err := history.ParseTime(at, time.Now())
			if err != nil {
				return cli.Usagef("--at: %w", err)
			}
			f, err := o.open()
			if err != nil {
				return err
			}
			all, err := f.LoadedAt(cmd.Context(), when)
			if err != nil {
				return history.JournalError(err)
			}
			if o.format.JSON {
				err = fleets.Print(cmd.OutOrStdout(), o.format, nil, all)
			} else {
				err = fleets.Print(cmd.OutOrStdout(), o.format, fleets.LoadedColumns(), fleets.LoadedRows(all))
			}
			doubtful := 0
			for i := range all {
				for _, doubt := range all[i].Doubts {
					zerolog.Ctx(cmd.Context()).Warn().Msgf("%s: %s", cells.Printable(all[i].Host.String()), doubt)
				}
				if len(all[i].Doubts) > 0 {
					doubtful++
				}
			}
			if err == nil && doubtful > 0 {
				return &cli.IncompleteError{Text: "what was loaded is doubtful on " + cells.Plural(doubtful, "host")}
			}
			return err
		},
	}
	o.register(cmd, "fleet-loaded")
	cmd.Flags().StringVar(&at, "at", "now", "at this `TIME`")
	return cmd
}
