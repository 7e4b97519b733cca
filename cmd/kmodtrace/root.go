package main

import (
	"context"
	"fmt"
	"io"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// run is the whole command: arguments in, exit status out.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if msg := err.Error(); msg != "" {
		fmt.Fprintf(stderr, "kmodtrace: %s\n", msg)
	}
	if hint := hintOf(err); hint != "" {
		fmt.Fprintf(stderr, "  %s\n", hint)
	}
	return statusOf(err)
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "kmodtrace",
		Short:         "Trace what the kernel does with modules, and prove it",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageErrorf("%w", err) })
	root.AddCommand(
		newListCommand(),
		newInfoCommand(),
		newWatchCommand(),
		newLoadCommand(),
		newUnloadCommand(),
		newLabCommand(),
	)
	return root
}
