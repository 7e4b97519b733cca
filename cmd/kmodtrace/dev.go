package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/kmodtrace/kmodtrace/internal/act"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/dev"
	"github.com/kmodtrace/kmodtrace/internal/tracing"
)

func newDevCommand() *cobra.Command {
	opts := new(dev.Options)
	cmd := &cobra.Command{
		Use:   "dev [DIR] [PARAM=VALUE]...",
		Short: "Rebuild and replace a module whenever its sources are saved",
		Long: `Build the module in DIR, the current directory if none is given, load it, and watch the sources:
each time a file is saved, build again, and replace the loaded copy by the new one. The output
of the compiler, the kernel's events and all kernel messages are shown as they come, a screen
for each round. Ctrl-C unloads the module and ends.

When a build fails, or this kernel would refuse the new copy, the last good copy stays loaded.
When the new copy fails to load, the last good one is loaded again. With --try each new copy is
first loaded and unloaded in a disposable virtual machine, as by kmodtrace try, and is loaded
into this kernel only if it passes there.

Exit status: 0 unloaded in the end, or never loaded; 1 not unloaded; 2 the command line is
wrong; 3 it is not known what is in the kernel; 4 this kernel, or this user, cannot trace, or
this machine lacks what building needs.`,
		Example: `  kmodtrace dev
  kmodtrace dev ./hello whom=Bob
  kmodtrace dev ./mydriver --try`,
		Args: func(_ *cobra.Command, args []string) error { return parseDev(opts, args) },
		RunE: func(cmd *cobra.Command, _ []string) error { return opts.Run(cmd.Context(), cmd.OutOrStdout()) },
	}
	cmd.Flags().BoolVar(&opts.Try, "try", false, "test each new copy in a disposable virtual machine first")
	cmd.Flags().StringVar(&opts.Module, "module", "", "the `NAME` of the module, where the directory makes several")
	tracing.AddBackendFlag(cmd, &opts.Backend)
	return cmd
}

// parseDev takes the directory and the parameters from the command line.
func parseDev(o *dev.Options, args []string) error {
	paths, params := buildTargets(args)
	o.Dir, o.Params = ".", params
	switch len(paths) {
	case 0:
	case 1:
		o.Dir = paths[0]
	default:
		return cli.Usagef("%s: dev takes one directory", cells.Short(paths[1]))
	}
	if _, err := o.Params.Quote(); err != nil {
		return act.TargetError(err)
	}
	info, err := os.Stat(o.Dir)
	switch {
	case err != nil:
		return cells.OneLine(fmt.Errorf("dev %s: %w", cmp.Or(o.Dir, `""`), errors.Unwrap(err)))
	case !info.IsDir():
		return cli.Usagef("%s: must be the directory with the sources", cells.Short(o.Dir))
	}
	return nil
}
