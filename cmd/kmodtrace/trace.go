package main

import (
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/inside"
	"github.com/spf13/cobra"
)

func newTraceCommand() *cobra.Command {
	opts := new(inside.TraceOptions)
	cmd := &cobra.Command{
		Use:   "trace NAME",
		Short: "Find which call failed inside the next load of a module",
		Long: `Wait for the next load of a module by anybody (udev, an autoload, a person), and print which
call inside its init failed first, as load --calls does for a load of its own. NAME is a name or
an alias that modprobe knows; --file names the file that will be loaded where it is another one.

The probes are set before the module is loaded, in its own code only, and are removed when its
init has ended, at Ctrl-C, SIGTERM and --timeout. What a killed kmodtrace has left is
removed by the next trace or load --calls.

Exit status: 0 a load came, whatever became of it; 1 none came, or the module is loaded
already; 2 the command line is wrong; 4 this kernel, or this user, cannot trace, or the file has no symbols.`,
		Example: `  kmodtrace trace e1000e
  kmodtrace trace nft_masq --timeout 1m --tree
  kmodtrace trace hello --file ./hello.ko --json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return cli.Usagef("trace takes one NAME")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return opts.Run(cmd.Context(), cmd.OutOrStdout(), args[0])
		},
	}
	opts.Register(cmd)
	return cmd
}
