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
		Short: "Unload modules, and confirm it by kernel events",
		Long: `Unload modules, one after another as given, like rmmod. The tracer is attached
first; an unload is confirmed when the system call succeeded and the kernel was seen to free the
module. A refused unload does not stop the others.

kmodtrace refuses to unload a module whose refcount is negative, even with --force, as rmmod
does: the kernel would not survive it (kmodtrace explain refcount-negative). It also refuses one
whose refcount can be read neither in /sys nor in /proc.

--calls probes the module's own code, and prints what its exit called and where it hangs (with
--timeout); see kmodtrace load. It needs the file that the module was loaded from.

Exit status: 0 all confirmed; 1 one refused; 2 the command line is wrong; 3 one not
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
