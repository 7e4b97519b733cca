package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/lab"
)

func newLabBenchCommand() *cobra.Command {
	flags := new(machineFlags)
	var runs int
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure what a machine of the lab costs: its start, its end, its image",
		Long: `Start a kernel some times with a command that does nothing: from a snapshot, and by a
boot with and without the kernel's module tree. Print medians and extremes in seconds
from QEMU's start.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := flags.machine(cmd.Context(), cmd.ErrOrStderr())
			if err != nil {
				return labError(err)
			}
			m.Files = nil
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "KERNEL\tACCEL\tSTART\tMODULES\tIMAGE\tWRITE IMAGE\tINIT\tCOMMAND DONE\tPOWER OFF")
			for _, kind := range []struct{ boot, noModules bool }{{false, false}, {true, false}, {true, true}} {
				m.Boot, m.NoModules = kind.boot || m.Boot, kind.noModules
				if err := benchOne(cmd, t, m, runs); err != nil {
					return labError(err)
				}
			}
			return t.Flush()
		},
	}
	flags.register(cmd.Flags())
	cmd.Flags().IntVar(&runs, "runs", 5, "starts of each kind")
	return cmd
}

func benchOne(cmd *cobra.Command, out io.Writer, m lab.Machine, runs int) error {
	got, err := lab.Measure(cmd.Context(), m, runs)
	if err != nil {
		return err
	}
	modules := "all"
	if m.NoModules {
		modules = "none"
	}
	start := "boot"
	if got.Restored {
		start = "snapshot"
	}
	_, err = fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%.0f MiB\t%v\t%v\t%v\t%v\n", cells.Printable(m.Kernel.Release), got.Accel,
		start, modules, float64(got.Image)/(1<<20), got.Build, got.Init, got.Done, got.Off)
	return err
}
