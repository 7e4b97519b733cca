package main

import (
	"context"
	"io"
	"os/signal"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/diag"
	"github.com/kmodtrace/kmodtrace/internal/ending"
	"github.com/kmodtrace/kmodtrace/internal/follow"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

// run is the whole command: arguments in, exit status out.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return runIn(context.Background(), args, stdin, stdout, stderr)
}

// runIn is run, in a context that may lend what the command needs.
func runIn(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, ending.Signals()...)
	defer stop()

	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	profile := addProfileFlag(root)
	err := root.ExecuteContext(ctx)
	profile.end()
	if err == nil {
		return exitOK
	}
	complain(diag.Of(root, stderr), err)
	if s := signalOf(err); s != 0 {
		follow.DieBy(s)
	}
	return statusOf(err)
}

// complain says what went wrong, and what to do next. An error without a text (of a
// command in the lab, which has said it itself) only has a status.
func complain(log zerolog.Logger, err error) {
	if err.Error() == "" && cli.HintOf(err) == "" {
		return
	}
	e := log.Error().Int("status", statusOf(err))
	if hint := cli.HintOf(err); hint != "" {
		e = e.Str(diag.HintField, hint)
	}
	diag.Error(e, err)
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "kmodtrace",
		Version:       buildText(),
		Short:         "Trace kernel-module loads, unloads and requests, and prove each action by kernel events",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noSuchCommand,

		SuggestionsMinimumDistance: 2,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	diag.AddFlag(root)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return cli.Usagef("%w", err) })
	root.AddCommand(
		newListCommand(),
		newInfoCommand(),
		newWatchCommand(),
		newRunCommand(),
		newServeCommand(),
		newHistoryCommand(),
		newAuditCommand(),
		newFleetCommand(),
		newRulesCommand(),
		newScanCommand(),
		newLoadCommand(),
		newTraceCommand(),
		newReloadCommand(),
		newDevCommand(),
		newTryCommand(),
		newTrialGuestCommand(),
		newUnloadCommand(),
		newBuildCommand(),
		newCheckCommand(),
		newExplainCommand(),
		newRefsCommand(),
		newDoctorCommand(),
		newManCommand(),
		newLabCommand(),
	)
	return root
}

// noSuchCommand refuses what is not a command; cobra comes here only then.
func noSuchCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := cli.Usagef("no command %q", cells.Short(args[0]))
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		return &exitError{status: exitUsage, err: err, hint: "did you mean " + strings.Join(near, " or ") + "?"}
	}
	return &exitError{status: exitUsage, err: err, hint: "kmodtrace --help lists them"}
}
