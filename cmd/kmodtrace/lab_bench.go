package main

import (
	"github.com/kmodtrace/kmodtrace/internal/lab/cmdline"
	"github.com/spf13/cobra"
)

func newLabBenchCommand() *cobra.Command {
	flags := new(cmdline.Machine)
	var runs int
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure what a machine of the lab costs: its start, its end, its image",
		Long: `Start a kernel several times with a command that does nothing: from a snapshot, and by a
boot with and without the kernel's module tree. Print medians and extremes in seconds
from QEMU's start.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return labError(flags.Bench(cmd.Context(), runs, cmd.OutOrStdout(), cmd.ErrOrStderr()))
		},
	}
	flags.Register(cmd.Flags())
	cmd.Flags().IntVar(&runs, "runs", 5, "starts of each kind")
	return cmd
}
