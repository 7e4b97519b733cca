package filter

import (
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/rule"
	"github.com/spf13/cobra"
)

// SeverityWords are the severities of findings.
func SeverityWords() (words []string) {
	for _, s := range rule.Severities() {
		words = append(words, string(s))
	}
	return words
}

// SeverityText lists them for people.
func SeverityText() string { return strings.Join(SeverityWords(), ", ") }

// ParseSeverity reads the value of --severity; empty is any.
func ParseSeverity(text string) (rule.Severity, error) {
	s := rule.Severity(text)
	if text != "" && !slices.Contains(rule.Severities(), s) {
		return "", cli.Usagef("--severity %s: there are %s", cells.Short(text), SeverityText())
	}
	return s, nil
}

// CompleteRules offers a shell the rules that are built in. They are compiled for it.
func CompleteRules(*cobra.Command, []string, string) (ids []string, _ cobra.ShellCompDirective) {
	set, err := rule.Builtin()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	for _, r := range set.Rules() {
		ids = append(ids, r.ID)
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}
