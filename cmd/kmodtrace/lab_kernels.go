package main

import (
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/kmodtrace/kmodtrace/internal/lab/cmdline"
	"github.com/kmodtrace/kmodtrace/internal/term"
)

func newLabKernelsCommand() *cobra.Command {
	var asJSON, offline bool
	cmd := &cobra.Command{
		Use:   "kernels",
		Short: "List the kernels that are here, and those that can be fetched",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows, offerErr, err := cmdline.Kernels(cmd.Context(), offline, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if offerErr != nil {
				zerolog.Ctx(cmd.Context()).Warn().Msgf("cannot list what can be fetched: %v", offerErr)
			}
			if asJSON {
				return term.PrintJSONLine(cmd.OutOrStdout(), rows)
			}
			return cmdline.PrintKernels(cmd.OutOrStdout(), rows)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&offline, "offline", false, "list only the kernels that are here")
	return cmd
}
