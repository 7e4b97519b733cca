package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/lab/cmdline"
)

func newLabExecCommand() *cobra.Command {
	flags, stall := new(cmdline.Machine), time.Duration(0)
	cmd := &cobra.Command{
		Use:   "exec [flags] -- TESTBINARY [ARGUMENT]...",
		Short: "Run a compiled Go test in a guest, for go test -exec",
		Long: `Boot a kernel and run a program of this machine in it, as go test -exec wants: the
program and the directory testdata beside it go along, it runs in the same directory below
its Go module (/src in the guest), and variables named KMODTRACE_… are passed.

A test that hangs shows where: when it has printed nothing for the time of --stall, and
when this process gets SIGQUIT, the test gets SIGQUIT, at which it prints the stacks of
its goroutines. Where that does not end it, --stall ends the machine a minute later, and
the error has the end of the console. The machine has the time that the test has by
-test.timeout, and a minute more; without one, or with 0, it is not limited. --timeout
overrides that.`,
		Example: `  CGO_ENABLED=0 go test -exec 'kmodtrace lab exec --kernel 6.12 --' ./tracer`,
		Args:    func(_ *cobra.Command, args []string) error { return needCommand(args) },
		RunE: func(cmd *cobra.Command, args []string) error {
			if stall < 0 {
				return cli.Usagef("--stall %v: must not be negative", stall)
			}
			status, err := flags.RunTest(cmd.Context(), args, cmd.Flags().Changed("timeout"), stall, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
			return labResult(status, err)
		},
	}
	cmd.Flags().SetInterspersed(false)
	flags.Register(cmd.Flags())
	cmd.Flags().Lookup("timeout").DefValue = "that of the test"
	cmd.Flags().DurationVar(&stall, "stall", 15*time.Minute, "end the machine when the guest sends nothing for this `TIME`; 0 for never")
	return cmd
}
