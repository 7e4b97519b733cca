package main

import (
	"github.com/kmodtrace/kmodtrace/internal/ending"
	"github.com/kmodtrace/kmodtrace/internal/rules"
	"github.com/kmodtrace/kmodtrace/internal/tracing"
	"github.com/kmodtrace/kmodtrace/internal/watch"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/spf13/cobra"
)

func newWatchCommand() *cobra.Command {
	opts := new(watch.Options)
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Show module activity as it happens",
		Long: `Show each attempt to load, unload or request a module when it has ended: what became
of it, how long it took, who made it, and what the kernel and the module printed meanwhile.
An outcome is the kernel's answer to the whole attempt, never a single event on the way.
What has been under way for --pending-after is shown once before its end, as pending, with its
stage and what it waits for; its outcome follows.

It ends on Ctrl-C, SIGTERM, after --count or after --timeout, with a summary of what was seen
and lost on standard error. Queued results are printed first; interrupt again to skip them.
What has not ended by then is shown as pending. Exit status 5 means that something was lost or not
shown, or that the hooks were disturbed.

Refused calls of a user without CAP_SYS_MODULE are shown 64 times, then four times a second;
the rest are counted and reported once a second on standard error.

With --findings, show what the rules find in these actions, and not the actions themselves: see
kmodtrace rules. Filters then select the actions that the rules look at.`,
		Example: `  kmodtrace watch
  kmodtrace watch --json --outcome failed
  kmodtrace watch --module 'snd-*' --action load,unload
  kmodtrace watch --tree --autoloaded yes
  kmodtrace watch --loginuid alice --container any
  kmodtrace watch --findings
  kmodtrace watch --events --timeout 10s`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			defer ending.SurviveBrokenPipe()()
			return opts.Run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&opts.JSON, "json", false, "print a JSON object on each line (docs/schema/action.schema.json, event.schema.json, finding.schema.json)")
	flags.BoolVar(&opts.Tree, "tree", false, "show each request as a tree: who asked, the helper, its loads")
	flags.BoolVar(&opts.Events, "events", false, "print raw events, as the hooks saw them")
	flags.BoolVar(&opts.Findings, "findings", false, "show what the rules find, instead of the actions")
	rules.AddPathsFlag(cmd, &opts.Rules)
	flags.Uint64Var(&opts.Count, "count", 0, "end after `N` actions or findings; 0 for never")
	flags.DurationVar(&opts.Timeout, "timeout", 0, "end after this `TIME`; 0 for never")
	flags.DurationVar(&opts.PendingAfter, "pending-after", tracer.PendingAfter, "show what has been under way for this `TIME`; 0 for only what has ended")
	flags.StringVar(&opts.ReadyFile, "ready-file", "", "create `FILE` when all hooks are attached")
	opts.Filter.Register(cmd)
	tracing.AddBackendFlag(cmd, &opts.Backend)
	return cmd
}
