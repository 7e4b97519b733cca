package main

import (
	"github.com/kmodtrace/kmodtrace/internal/act"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/spf13/cobra"
)

func newUnloadCommand() *cobra.Command {
	opts := new(act.UnloadOptions)
	cmd := &cobra.Command{
		Use:   "unload NAME...",
		Short: "Unload modules, and prove it by the kernel's own events",
		Long: `Unload modules, one after another as given, like rmmod. The tracer is attached
first; an unload is confirmed when the kernel both answered with yes and was seen to
free the module. One that is refused does not keep the others from being tried.

A module whose refcount is negative is refused before the kernel is asked, also with --force,
as rmmod does: the kernel would not survive it (kmodtrace explain refcount-negative). So is one
whose refcount can be read neither in /sys nor in /proc.

Exit status: 0 all confirmed; 1 one refused; 2 the command line makes no sense; 3 one not
confirmed, or contradicted by the kernel's events; 4 this kernel, or this user, cannot
trace, and nothing was unloaded.`,
		Example: `  kmodtrace unload hello
  kmodtrace unload xfs libcrc32c --json
  kmodtrace unload hello --wait --timeout 10s`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cli.Usagef("unload takes the NAMES of modules")
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return act.LoadedNames(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error { return opts.Run(cmd.Context(), cmd.OutOrStdout(), args) },
	}
	opts.Register(cmd)
	return cmd
}
