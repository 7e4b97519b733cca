package render

import (
	"fmt"

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
		text += fmt.Sprintf("; %s before it", cells.Plural(f.Before, "more"))
	}
	head := cells.Line{}.Add(cells.Dim, when).Spaced(SeverityStyle(f.Severity), string(f.Severity)).Spaced(cells.Strong, f.Rule)
	lines := []cells.Line{head}
	for _, part := range cells.Wrap(cells.Printable(text), t.Width-len("  ")) {
		lines = append(lines, cells.Line{}.Add(cells.Plain, "  "+part))
	}
	return t.Text(lines)
}
