package render

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/rule"
)

// SeverityStyle is how a severity is shown.
func SeverityStyle(s rule.Severity) cells.Style {
	switch s {
	case rule.High, rule.Critical:
		return cells.Bad
	case rule.Medium:
		return cells.Unsure
	}
	return cells.Dim
}

// Finding gives a finding: when, how severe, by which rule, and below it what the rule says.
func (t *ResultText) Finding(f *rule.Finding) string {
	when := "-"
	if !f.Time.IsZero() {
		when = f.Time.Local().Format("2006-01-02 15:04:05")
	}
	text := f.Text
	if f.Before > 0 {
		text += fmt.Sprintf("; %d more before it", f.Before)
	}
	head := cells.Line{}.Add(cells.Dim, when).Spaced(SeverityStyle(f.Severity), string(f.Severity)).Spaced(cells.Strong, f.Rule)
	lines := []cells.Line{head}
	for _, part := range cells.Wrap(cells.Printable(text), t.Width-len("  ")) {
		lines = append(lines, cells.Line{}.Add(cells.Plain, "  "+part))
	}
	return t.Text(lines)
}

// FindingAtLength gives all of a finding, a line for each thing that is known.
func (t *ResultText) FindingAtLength(f *rule.Finding) []cells.Line {
	lines := []cells.Line{cells.Line{}.Add(cells.Strong, f.Rule).Spaced(SeverityStyle(f.Severity), string(f.Severity)).Spaced(cells.Plain, f.Title)}
	lines = append(lines, t.Wrapped("says", cells.Plain, f.Text)...)
	lines = append(lines, t.Wrapped("about", cells.Plain, f.Subject)...)
	if f.Before > 0 {
		lines = append(lines, Labelled("before", cells.Plain, fmt.Sprintf("%d more since the last one that was shown", f.Before)))
	}
	for _, field := range slices.Sorted(maps.Keys(f.Evidence)) {
		lines = append(lines, t.Wrapped("evidence", cells.Plain, field+" = "+f.Evidence[field])...)
	}
	if len(f.Attack) > 0 {
		lines = append(lines, Labelled("ATT&CK", cells.Plain, strings.Join(f.Attack, ", ")))
	}
	if f.Record != "" {
		lines = append(lines, t.Wrapped("found in", cells.Plain, f.Record+" (kmodtrace history show has it)")...)
	}
	lines = append(lines, t.Wrapped("rule", cells.Plain, fmt.Sprintf("version %d; kmodtrace rules explain %s says what to do next", f.Version, f.Rule))...)
	return lines
}
