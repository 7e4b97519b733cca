package rule

import (
	"fmt"
	"slices"

	"github.com/kmodtrace/kmodtrace/record"
)

// Failure is a test of a rule that does not come out as the rule says.
type Failure struct {
	Rule, Test string
	Why        string
}

func (f Failure) Error() string { return fmt.Sprintf("rule %s, test %q: %s", f.Rule, f.Test, f.Why) }

// Test runs the rules' own tests, and gives how many there are.
func (s *Set) Test() (failures []Failure, tests int) {
	for _, p := range s.rules {
		if p.Check {
			continue
		}
		alone := &Set{rules: []*program{p}, watch: s.watch}
		for i, c := range slices.Concat(p.Tests.Match, p.Tests.Miss) {
			tests++
			want := i < len(p.Tests.Match)
			if why := alone.try(&c, want); why != "" {
				failures = append(failures, Failure{p.ID, c.Name, why})
			}
		}
	}
	return failures, tests
}

// try says what is wrong with a test; empty for nothing.
func (s *Set) try(c *Case, want bool) string {
	findings := s.Begin()
	last := false
	for i, text := range c.Records {
		r, err := record.Parse(text)
		if err != nil {
			return fmt.Sprintf("record %d: %v", i+1, err)
		}
		found, err := findings.Add(r)
		if err != nil {
			return err.Error()
		}
		last = len(found) > 0
	}
	switch {
	case last && !want:
		return "it matches, and must not"
	case !last && want:
		return "it does not match"
	}
	return ""
}
