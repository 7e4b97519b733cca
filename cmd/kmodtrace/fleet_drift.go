package main

import (
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/fleets"
	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

func newFleetDriftCommand() *cobra.Command {
	o := new(fleetOptions)
	var at string
	cmd := &cobra.Command{
		Use:   "drift",
		Short: "List the machines whose modules differ from those of the others",
		Long: `Compare what is loaded on the machines with one release of the kernel. extra: a machine has a module
that fewer than half of them have; lacking: it lacks one that more than half have; content: its module was
loaded from another file than that of more than half.`,
		Example: "  kmodtrace fleet drift --source http://127.0.0.1:9428",
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
			all, err := f.Drift(cmd.Context(), when)
			if err != nil {
				return history.JournalError(err)
			}
			if len(all) == 0 {
				zerolog.Ctx(cmd.Context()).Info().Msg("no machine differs from those with its kernel")
			}
			return fleets.Print(cmd.OutOrStdout(), o.format, fleets.DriftColumns(), all)
		},
	}
	o.register(cmd, "fleet-drift")
	cmd.Flags().StringVar(&at, "at", "now", "at this `TIME`")
	return cmd
}
