package main

import (
	"github.com/kmodtrace/kmodtrace/internal/act"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/reload"
	"github.com/spf13/cobra"
)

func newLoadCommand() *cobra.Command {
	opts := new(act.LoadOptions)
	cmd := &cobra.Command{
		Use:   "load FILE|NAME [PARAM=VALUE]...",
		Short: "Load a module, and confirm it by kernel events",
		Long: `Load a module: a file like insmod, or a name with what it depends on like modprobe,
whose configuration is respected. What has a slash, or ends in .ko, .ko.gz, .ko.xz or
.ko.zst, is a file. The tracer is attached first; a load is confirmed when the system call
succeeded and the kernel was seen to do it, up to the return of the module's own init. A loaded
FILE is kept in ` + reload.DefaultStore + `, for kmodtrace reload.

--timeline draws to scale what happened from the system call to live or to the failure: the
stages with their times, the messages when they were printed, the memory, and who provided the
symbols. --svg and --html make a picture and a page of it, each complete in one
file. FILE is replaced when the picture is complete, and stays as it was when the kernel was
not asked. On standard output they are mutually exclusive, with each
other and with --json.

--calls probes the module's own code, and prints which call inside its init failed first, with
its line of source where the file has debug information; --tree prints all calls, --slow
those that took longest. All times then include what the probes cost. The probes are set
before the load and removed after it. A file without symbols is not loaded then.

Exit status: 0 confirmed; 1 refused, by the kernel or because of the file; 2 the
command line is wrong; 3 not confirmed, or contradicted by the kernel's events; 4 this kernel, or
this user, cannot trace, and nothing was loaded.`,
		Example: `  kmodtrace load ./hello.ko whom=Bob
  kmodtrace load xfs
  kmodtrace load xfs --timeline --html xfs.html
  kmodtrace load ./driver.ko --calls --tree
  kmodtrace load ./hello.ko 'whom=big world' --json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cli.Usagef("load takes a FILE or NAME, and parameters")
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
