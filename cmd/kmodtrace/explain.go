package main

import (
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/ending"
	"github.com/kmodtrace/kmodtrace/internal/explain"
	"github.com/kmodtrace/kmodtrace/internal/filter"
	"github.com/kmodtrace/kmodtrace/internal/tracing"
	"github.com/spf13/cobra"
)

func newExplainCommand() *cobra.Command {
	opts := new(explain.Options)
	cmd := &cobra.Command{
		Use:   "explain [CODE|FILE|-]",
		Short: "Explain in detail why an action failed",
		Long: `Explain why actions failed: the cause, the evidence for it, and what to do next.

With a CODE, such as symbol-missing, explain that cause in general. Without an argument, list
the codes. With a FILE (or - for standard input) of what watch --json, load --json or unload
--json printed, explain each failure in it. With --live, explain failures on this machine as
they happen.`,
		Example: `  kmodtrace explain symbol-gpl-only
  kmodtrace watch --json > seen.json; kmodtrace explain seen.json
  kmodtrace load ./hello.ko --json | kmodtrace explain -
  kmodtrace explain --live --count 1`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || opts.Live && len(args) > 0 {
				return cli.Usagef("explain takes one CODE or FILE, or --live")
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return filter.CodeNames(), cobra.ShellCompDirectiveDefault
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			defer ending.SurviveBrokenPipe()()
			return opts.Run(cmd.Context(), args, cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&opts.JSON, "json", false, "print a JSON object on each line (docs/schema/meaning.schema.json, action.schema.json)")
	flags.BoolVar(&opts.Live, "live", false, "explain failures on this machine as they happen")
	flags.Uint64Var(&opts.Count, "count", 0, "with --live: end after `N` failures; 0 for never")
	flags.DurationVar(&opts.Timeout, "timeout", 0, "with --live: end after this `TIME`; 0 for never")
	flags.StringVar(&opts.ReadyFile, "ready-file", "", "with --live: create `FILE` when all hooks are attached")
	tracing.AddBackendFlag(cmd, &opts.Backend)
	return cmd
}
