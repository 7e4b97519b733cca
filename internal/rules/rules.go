// Package rules lists and explains rules, tests them, and says what they find in records of the past.
package rules

import (
	"fmt"
	"io"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/rule"
	"github.com/spf13/cobra"
)

// Options say which rules are meant, and how they are printed.
type Options struct {
	Paths []string // of rules, beside those that are built in
	JSON  bool
	// Of test: what is looked at, and what is shown of it.
	Journal, Since string
	AtLeast        string // severity
}

// AddPathsFlag adds --rules to a command.
func AddPathsFlag(cmd *cobra.Command, paths *[]string) {
	cmd.Flags().StringArrayVar(paths, "rules", nil,
		"use the rules in `PATH` too, a file or a directory, in place of those in "+rule.DefaultDir+"; repeatable")
}

// Load gives the rules that are built in, and those of paths; without any, those of the machine.
func Load(paths []string) (s *rule.Set, err error) {
	if len(paths) == 0 {
		s, err = rule.Machine()
	} else {
		s, err = rule.Load(paths...)
	}
	if err != nil {
		return nil, cells.OneLine(fmt.Errorf("rules: %w", err))
	}
	return s, nil
}

// List prints all rules, a line each.
func (o *Options) List(out io.Writer) error {
	set, err := Load(o.Paths)
	if err != nil {
		return err
	}
	if o.JSON {
		return term.PrintTo(out, func(w io.Writer) error {
			for _, r := range set.Rules() {
				if err := term.PrintJSONLine(w, r); err != nil {
					return err
				}
			}
			return nil
		})
	}
	t := render.NewResultText(term.ThemeOf(out), term.Columns(out))
	idColumns := 0
	for _, r := range set.Rules() {
		idColumns = max(idColumns, cells.Count(r.ID))
	}
	var lines []cells.Line
	for _, r := range set.Rules() {
		head := cells.Line{}.Cell(cells.Strong, r.ID, idColumns).Add(cells.Plain, " ").Cell(render.SeverityStyle(r.Severity), string(r.Severity), severityColumns)
		for i, part := range cells.Wrap(r.Title, t.Width-cells.Count(head.String())) {
			if i > 0 {
				head = cells.Line{}.Cell(cells.Plain, "", idColumns+severityColumns+2)
			}
			lines = append(lines, head.Add(cells.Plain, part))
		}
	}
	_, err = io.WriteString(out, t.Text(lines))
	return term.OutputError(err)
}

const severityColumns = len("critical")

// Explain prints one rule at length.
func (o *Options) Explain(out io.Writer, id string) error {
	set, err := Load(o.Paths)
	if err != nil {
		return err
	}
	r := set.Rule(id)
	if r == nil {
		return cli.WithHint(cli.Usagef("there is no rule %s", cells.Short(id)), "kmodtrace rules list lists them")
	}
	if o.JSON {
		return term.PrintJSONLine(out, r)
	}
	_, err = io.WriteString(out, Text(render.NewResultText(term.ThemeOf(out), term.Columns(out)), r))
	return term.OutputError(err)
}

// Text gives a rule at length.
func Text(t *render.ResultText, r *rule.Rule) string {
	lines := []cells.Line{cells.Line{}.Add(cells.Strong, r.ID).Spaced(render.SeverityStyle(r.Severity), string(r.Severity)).Spaced(cells.Dim, fmt.Sprintf("(version %d)", r.Version))}
	for _, part := range []struct{ label, text string }{
		{"finds", r.Title}, {"why", strings.TrimSpace(r.Why)}, {"when", strings.Join(strings.Fields(r.When), " ")}, {"says", r.Says},
		{"about", r.Subject}, {"next", strings.TrimSpace(r.Next)}, {"evidence", strings.Join(r.Evidence, ", ")},
		{"ATT&CK", strings.Join(r.Attack, ", ")}, {"matches", namesOf(r.Tests.Match)}, {"but not", namesOf(r.Tests.Miss)},
	} {
		if part.text != "" {
			lines = append(lines, t.Wrapped(part.label, cells.Plain, part.text)...)
		}
	}
	return t.Text(lines)
}

func namesOf(tests []rule.Case) string {
	var names []string
	for _, c := range tests {
		names = append(names, c.Name)
	}
	return strings.Join(names, "; ")
}
