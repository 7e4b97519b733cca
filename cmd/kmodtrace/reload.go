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
		Short: "Replace a loaded module by a new build, and restore the old one on failure",
		Long: `Unload the loaded copy of a module, and load FILE, a new build of it. Both steps are confirmed
by kernel events, as by unload and load. A module that is not loaded is only loaded.

The new copy gets the parameters of the old one, unless the command line has some. For a copy
that kmodtrace loaded, these are the parameters that it was given, with later changes; for
another copy, all parameters that it shows in /sys/module.

The old copy stays loaded when this kernel would refuse FILE (see kmodtrace check), and when the
old copy is in use, cannot be unloaded, or has a negative refcount. When the new copy does not
load, or an interrupt comes between the two steps, the old copy is loaded again with its
parameters. (A call that the kernel has begun cannot be stopped: after an interrupt it has ten
seconds to return.) The build has overwritten the old file by then, so kmodtrace keeps the files
that it loads in ` + reload.DefaultStore + `. For another copy it looks for a file with
the same build ID: FILE itself, the file from which the journal of kmodtrace serve saw it loaded,
the installed file. When there is none, it warns before it unloads anything.

Exit status: 0 the new copy is in the kernel, confirmed; 1 refused, and the old copy is back or
was not touched; 2 the command line is wrong; 3 not confirmed, or contradicted by the
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
