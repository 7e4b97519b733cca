package main

import (
	"github.com/kmodtrace/kmodtrace/internal/scan"
	"github.com/spf13/cobra"
)

func newScanCommand() *cobra.Command {
	opts := new(scan.Options)
	cmd := &cobra.Command{
		Use:   "scan",
		Short: "Look for modules that hide",
		Long: `Ask the kernel in several ways which modules it has, and show those that some ways show and others
do not: a module that hides takes itself off the kernel's list or out of sysfs, and stays in what
the kernel keeps for other reasons. It changes nothing.

That these sources agree does not say that nothing hides: a module that knows them can hide from
all of them. kmodtrace serve looks too, after each load and now and then, and has one source
more: what it saw loaded and never unloaded.

When the journal of kmodtrace serve is readable, it also shows who loaded a hidden module.

Exit status: 1 when something hides, or modules came and went all the while.`,
		Example: "  sudo kmodtrace scan\n  sudo kmodtrace scan --json | jq '.hidden[].module'",
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return opts.Run(cmd.Context(), cmd.OutOrStdout()) },
	}
	cmd.Flags().BoolVar(&opts.JSON, "json", false, "print one JSON object (docs/schema/scan.schema.json)")
	opts.Loaded.Register(cmd)
	return cmd
}
