package main

import (
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/ending"
	"github.com/kmodtrace/kmodtrace/internal/follow"
	"github.com/kmodtrace/kmodtrace/internal/tracing"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/spf13/cobra"
)

func newRunCommand() *cobra.Command {
	opts := new(follow.Options)
	cmd := &cobra.Command{
		Use:   "run [flags] -- COMMAND [ARGUMENT]...",
		Short: "Run a command, and show the module activity that it causes",
		Long: `Run a command, and show each attempt to load, unload or request a module that it or a
descendant of it makes, and each load by which the kernel answers such a request. Attribution
stops at daemons: work started through systemd-run, at or a container runtime is that daemon's,
and is not shown.

The command has this one's standard input, output and error, its terminal and its signals.
With --user, where any of these is a terminal, it has a session and a terminal of its own in
place of that, from which it cannot type into this user's shell.
The report goes to standard error, or with --output to a file. It ends when the command ends,
and a summary follows on standard error. Actions of descendants that outlive the command are not
shown, except those already begun: they are pending. A load for a request that no process waits
for is watched for one more second. What has been under way for --pending-after is shown once
before its end, as pending, with its stage and what it waits for.

rmmod, modprobe and insmod refuse some things by themselves, without asking the kernel: a module
in use, a name that nothing has. No event shows that. When such a program of the command fails
and has not asked the kernel, a line at the end says what it was asked for, and why it is refused
as things were right after it ended.

The exit status is that of the command. A signal that kills the command kills kmodtrace too: a
shell shows 128 plus its number. 127: the command was not found; 126: it cannot be started;
2: the command line is wrong, or 4: this kernel cannot be traced, and nothing was run. Lost
events are reported on standard error.`,
		Example: `  kmodtrace run -- modprobe xfs
  kmodtrace run -- sh -c 'ip link add d0 type dummy'
  kmodtrace run --json --output modules.json -- mount disk.img /mnt
  sudo kmodtrace run --user "$USER" -- make check`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cli.Usagef("no command to run: give it after --")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			defer ending.SurviveBrokenPipe()()
			opts.ToFile, opts.AsUser = cmd.Flags().Changed("output"), cmd.Flags().Changed("user")
			status, err := opts.Run(cmd.Context(), args, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return endError(status)
		},
	}
	flags := cmd.Flags()
	flags.SetInterspersed(false)
	flags.StringVarP(&opts.Output, "output", "o", "", "write the report into `FILE`, not to standard error")
	flags.BoolVar(&opts.JSON, "json", false, "report a JSON object on each line (docs/schema/action.schema.json)")
	flags.DurationVar(&opts.PendingAfter, "pending-after", tracer.PendingAfter, "show what has been under way for this `TIME`; 0 for only what has ended")
	flags.BoolVarP(&opts.Quiet, "quiet", "q", false, "do not print the summary")
	flags.StringVarP(&opts.User, "user", "u", "", "run the command as `USER`, with that user's groups, HOME, USER and LOGNAME")
	tracing.AddBackendFlag(cmd, &opts.Backend)
	return cmd
}
