package main

import (
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/fleets"
	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/kmodtrace/kmodtrace/internal/modname"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

func newFleetWhoCommand() *cobra.Command {
	o := new(fleetOptions)
	cmd := &cobra.Command{
		Use:   "who MODULE|HASH",
		Short: "Tell which machines have a module, since when, and by whom",
		Long: `List the machines that have or had a module, or tried to load it: by its name, or by the SHA-256 of
its file. The machine that had it first comes first. Columns that cannot be known are -: an
inventory finds modules by name, and tells neither who loaded them nor their contents.`,
		Example: "  kmodtrace fleet who wireguard --source http://127.0.0.1:9428",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return cli.Usagef("fleet who takes one module, or the SHA-256 of one")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := o.open()
			if err != nil {
				return err
			}
			all, err := f.Who(cmd.Context(), modname.Normal(args[0]))
			if err != nil {
				return history.JournalError(err)
			}
			if len(all) == 0 {
				zerolog.Ctx(cmd.Context()).Info().Msgf("no machine has or tried %s", cells.Short(args[0]))
			}
			return fleets.Print(cmd.OutOrStdout(), o.format, fleets.WhoColumns(), all)
		},
	}
	o.register(cmd, "fleet-sighting")
	return cmd
}
