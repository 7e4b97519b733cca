package main

import (
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/ending"
	"github.com/kmodtrace/kmodtrace/internal/filter"
	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/kmodtrace/kmodtrace/internal/rules"
	"github.com/kmodtrace/kmodtrace/rule"
	"github.com/spf13/cobra"
)

func newRulesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "List, explain and test the rules that find what needs a look",
		Long: `List and explain the rules by which kmodtrace finds what a security monitor should look
at, test them, and show what they find in the records of the past.

A rule is a condition on what the kernel really did, and on who asked for it. Failed loads and
dry runs of modprobe do not count as loads. Some rules are built in; the directory
` + rule.DefaultDir + ` has those of this machine. docs/rules.md says how to write one.`,
		Example: "  kmodtrace rules list\n  kmodtrace rules explain loader-interpreter\n  kmodtrace rules test --since 30d",
		Args:    noSuchCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRulesListCommand(), newRulesExplainCommand(), newRulesTestCommand())
	return cmd
}

func newRulesListCommand() *cobra.Command {
	opts := new(rules.Options)
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the rules",
		Long:    `List the rules that are built in and those of this machine, with their severities.`,
		Example: "  kmodtrace rules list\n  kmodtrace rules list --json | jq -r .id",
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return opts.List(cmd.OutOrStdout()) },
	}
	rules.AddPathsFlag(cmd, &opts.Paths)
	cmd.Flags().BoolVar(&opts.JSON, "json", false, "print a JSON object on each line (docs/schema/rule.schema.json)")
	return cmd
}

func newRulesExplainCommand() *cobra.Command {
	opts := new(rules.Options)
	cmd := &cobra.Command{
		Use:   "explain RULE",
		Short: "Explain one rule",
		Long: `Explain a rule: what it finds and why that matters, its condition, what to do next, and
what its tests say that it finds and does not find.`,
		Example: "  kmodtrace rules explain untrusted-signer",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return cli.Usagef("rules explain takes one RULE")
			}
			return nil
		},
		ValidArgsFunction: filter.CompleteRules,
		RunE:              func(cmd *cobra.Command, args []string) error { return opts.Explain(cmd.OutOrStdout(), args[0]) },
	}
	rules.AddPathsFlag(cmd, &opts.Paths)
	cmd.Flags().BoolVar(&opts.JSON, "json", false, "print one JSON object (docs/schema/rule.schema.json)")
	return cmd
}

func newRulesTestCommand() *cobra.Command {
	opts := new(rules.Options)
	cmd := &cobra.Command{
		Use:   "test [FILE|-]...",
		Short: "Test the rules, and show what they find in the past",
		Long: `Run the tests that each rule has, and then show what the rules find in each FILE (or - for
standard input) of what watch --json printed. With --journal or --since, they look at the journal
of kmodtrace serve instead. Nothing is switched on or changed by it.

Findings of one rule on one subject are counted for an hour after one that is shown. What a rule
remembers, such as first_seen, it takes from all records that it is given: with --since also from
those before that time.`,
		Example: `  kmodtrace rules test
  kmodtrace rules test --since 30d --severity medium
  kmodtrace rules test --rules ./mine.yaml --journal ./copy.db
  kmodtrace watch --json | tee seen.json | kmodtrace rules test -`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && (cmd.Flags().Changed("journal") || cmd.Flags().Changed("since")) {
				return cli.Usagef("rules test looks at FILEs, or at the journal")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			defer ending.SurviveBrokenPipe()()
			ofJournal := cmd.Flags().Changed("journal") || cmd.Flags().Changed("since")
			return opts.Test(cmd.Context(), args, ofJournal, cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	rules.AddPathsFlag(cmd, &opts.Paths)
	history.AddJournalFlag(cmd, &opts.Journal)
	flags.StringVar(&opts.Since, "since", "", "show what is found from this `TIME` on: "+history.TimeForms)
	flags.StringVar(&opts.AtLeast, "severity", "", "show only findings of this `SEVERITY` or a higher one: "+filter.SeverityText())
	flags.BoolVar(&opts.JSON, "json", false, "print a JSON object on each line (docs/schema/finding.schema.json)")
	cli.MustComplete(cmd, "severity", filter.SeverityWords())
	return cmd
}
