package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/lab/cmdline"
	"github.com/kmodtrace/kmodtrace/internal/term"
)

func newLabRunCommand() *cobra.Command {
	flags, asText := new(cmdline.Machine), false
	cmd := &cobra.Command{
		Use:   "run [flags] -- COMMAND [ARGUMENT]...",
		Short: "Boot a kernel, run a command in it, and give its exit status",
		Long: `Boot a kernel, run a command in it as root, and end with its exit status: 128 plus
the number of the signal that killed it, 127 or 126 when it cannot be found or
started, 125 when the machine itself failed.

The guest has kmodtrace, kmod's tools, a shell, busybox for the rest, and the
kernel's whole module tree. insmod, modprobe and their like are kmod's; busybox's are
there as "busybox insmod". (busybox programs that start others, such as
timeout and xargs, prefer busybox's: give those /sbin/insmod.)

Where standard input and output are a terminal, the command has it: what the guest
writes reaches it unfiltered, with its control characters, as a shell and an editor
need. With --text, and where only one of them is a terminal, what the guest writes is
shown as text, with escapes for all else. A pipe or a file gets it byte for byte.

On a terminal that the command has, Ctrl-C goes to it. Ctrl-] three times within a
second ends the machine, whatever the guest does. SIGQUIT goes to the command wherever it
runs: a Go program prints the stacks of its goroutines then.

--timeout bounds the whole run, from the boot to the power-off, however busy this machine is.`,
		Example: `  kmodtrace lab run -- uname -a
  kmodtrace lab run --kernel 6.1 -- sh -c 'modprobe xfs && lsmod'
  kmodtrace lab run --add hello.ko -- kmodtrace load hello.ko
  kmodtrace lab run -- sh`,
		Args: func(_ *cobra.Command, args []string) error { return needCommand(args) },
		RunE: func(cmd *cobra.Command, args []string) error {
			status, err := flags.Run(cmd.Context(), args, asText, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
			return labResult(status, err)
		},
	}
	cmd.Flags().SetInterspersed(false)
	cmd.Flags().BoolVar(&asText, "text", false, "do not give the command the terminal: show what it writes as text")
	flags.Register(cmd.Flags())
	return cmd
}

func needCommand(args []string) error {
	if len(args) == 0 {
		return cli.Usagef("no command to run in the guest: give it after --")
	}
	return nil
}

// labError is a failure of the lab itself; nil for nil.
func labError(err error) error {
	if err == nil {
		return nil
	}
	if usage := (*cli.UsageError)(nil); errors.As(err, &usage) {
		return err
	}
	return &exitError{status: exitLab, err: err}
}

// labResult ends with the guest command's status, and with the lab's own word
// where there is one. A command that did well whose files did not come back did not do well.
func labResult(status int, err error) error {
	switch {
	case err == nil && status == 0:
		return nil
	case err == nil:
		return &exitError{status: status, err: term.ErrSilent}
	case status > 0:
		return &exitError{status: status, err: err}
	default:
		return labError(err)
	}
}
