package main

import (
	"errors"

	"github.com/kmodtrace/kmodtrace/internal/act"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/reload"
	"github.com/spf13/cobra"
)

var errNoFile = errors.New("not a file's name")

func newReloadCommand() *cobra.Command {
	opts := new(act.ReloadOptions)
	cmd := &cobra.Command{
		Use:   "reload FILE [PARAM=VALUE]...",
		Short: "Take the old copy of a module out and load the new one, or put the old one back",
		Long: `Take the copy of a module that is in the kernel out, and load FILE, which is a new build of
it. Both are confirmed by the kernel's own events, as by unload and load. A module that
is not loaded is just loaded.

The new copy gets the parameters that the old one has, unless there are some on the command
line. For a copy that kmodtrace loaded they are those that it was given, and what was changed
since; for another all that it shows below /sys/module.

A file that this kernel would refuse, as kmodtrace check finds, leaves the old copy in the
kernel, and so does an old copy that is in use or cannot be unloaded, or whose refcount is
negative, of which the kernel is not even asked. Where the new one does not
load, or somebody interrupts in between, the old one is put back, with its parameters. (What
the kernel has begun nobody can stop: after an interrupt it has ten seconds to answer.) The
old file is kept for that by content, for the build has overwritten it by then: kmodtrace keeps
the files that it loads in ` + reload.DefaultStore + `. Of others a file with the build ID
of the loaded copy is looked for: FILE itself, where the journal of kmodtrace serve saw it
loaded from, the installed one. Where there is none, it is said before anything is removed.

Exit status: 0 the new copy is in the kernel, confirmed; 1 refused, and the old copy is back or
was not touched; 2 the command line makes no sense; 3 not confirmed, or contradicted by the
kernel's events, or neither copy is in the kernel; 4 this kernel, or this user, cannot
trace, and nothing was done.`,
		Example: `  kmodtrace reload ./hello.ko
  kmodtrace reload ./hello.ko whom=Bob
  make && sudo kmodtrace reload ./driver.ko --wait --timeout 10s`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cli.Usagef("reload takes a FILE, and parameters")
			}
			if !kmod.IsFile(args[0]) {
				return cli.WithHint(cli.Usagef("%w", act.FileError("reload", args[0], errNoFile)), "reload takes the file of the new build, such as ./NAME.ko")
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"ko", "gz", "xz", "zst"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return opts.Run(cmd.Context(), cmd.OutOrStdout(), args[0], kmod.Params(args[1:]))
		},
	}
	opts.Register(cmd)
	return cmd
}
