package rule

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	yamlast "github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/kmodtrace/kmodtrace/internal/yamlfile"
)

// Severity orders findings.
type Severity string

// The severities, the least first.
const (
	Info     Severity = "info"
	Low      Severity = "low"
	Medium   Severity = "medium"
	High     Severity = "high"
	Critical Severity = "critical"
)

// Severities gives all, the least first.
func Severities() []Severity { return []Severity{Info, Low, Medium, High, Critical} }

// AtLeast tells whether it is as severe as another one.
func (s Severity) AtLeast(other Severity) bool {
	return slices.Index(Severities(), s) >= slices.Index(Severities(), other)
}

// Rule is a condition on records, with the text of its findings.
type Rule struct {
	ID string `yaml:"id" json:"id"`
	// Version counts the changes of what it finds.
	Version  int      `yaml:"version" json:"version"`
	Severity Severity `yaml:"severity" json:"severity"`
	Title    string   `yaml:"title" json:"title"`
	// Check tells that it is none on records: the service looks at the running kernel. It has neither
	// condition nor tests, and only the rules that are built in have such.
	Check bool `yaml:"check" json:"check,omitempty"`
	// When is the condition, in CEL. See the package's description.
	When string `yaml:"when" json:"when,omitempty"`
	// Says is what a finding says: {…} holds an expression in CEL.
	Says string `yaml:"says" json:"says,omitempty"`
	// Subject is what a finding is about, an expression that gives a text: findings of one rule on one
	// subject are counted together for a while. Empty: the module's name.
	Subject string `yaml:"subject" json:"subject,omitempty"`
	// Why says why it matters, and when it does not; Next what to do.
	Why  string `yaml:"why" json:"why"`
	Next string `yaml:"next" json:"next"`
	// Attack are techniques of MITRE ATT&CK, "T1547.006".
	Attack []string `yaml:"attack" json:"attack,omitempty"`
	// Evidence are the fields that show it, as in "origin.package.name".
	Evidence []string `yaml:"evidence" json:"evidence,omitempty"`
	// Tests are records, as far as the rule looks at them.
	Tests Tests `yaml:"tests" json:"-"`
}

// Tests are what a rule must find, and what it must not. Each is a list of records, of which the last
// one is judged: those before are what it remembers.
type Tests struct {
	Match []Case `yaml:"match"`
	Miss  []Case `yaml:"miss"`
}

// Case is one test.
type Case struct {
	Name    string        `yaml:"name"`
	Records []sampleBytes `yaml:"records"`
}

// sampleBytes is a record as JSON.
type sampleBytes []byte

// UnmarshalYAML takes any YAML.
func (s *sampleBytes) UnmarshalYAML(text []byte) (err error) {
	*s, err = yaml.YAMLToJSON(text)
	return err
}

// The bounds of a file of rules.
const (
	maxFile  = 1 << 20
	maxRules = 1000
)

// file is a file of rules.
type file struct {
	Rules []*Rule    `yaml:"rules"`
	Watch []*Watched `yaml:"watch"`
}

// Parse reads a file of rules, and compiles them. name is the file's, for errors, which name the line
// and the column.
func Parse(name string, text []byte) (*Set, error) {
	s := new(Set)
	return s, s.add(name, text, false)
}

func (s *Set) add(name string, text []byte, builtIn bool) error {
	if len(text) > maxFile {
		return fmt.Errorf("%s: more than %d bytes", name, maxFile)
	}
	var f file
	if err := yamlfile.Unmarshal(text, &f); err != nil {
		return fmt.Errorf("%s, %w", name, err)
	}
	if len(f.Rules)+len(f.Watch) == 0 {
		return fmt.Errorf("%s: it has no rules", name)
	}
	if len(f.Rules)+len(s.rules) > maxRules || len(f.Watch)+len(s.watch) > maxRules {
		return fmt.Errorf("%s: more than %d rules", name, maxRules)
	}
	for i, w := range f.Watch {
		if wrong := w.check(); wrong != "" {
			return fmt.Errorf("%s, watch, number %d: %.80q %s", name, i+1, w.Name, wrong)
		}
	}
	s.watch = append(s.watch, f.Watch...)
	tree, err := parser.ParseBytes(text, 0)
	if err != nil {
		return fmt.Errorf("%s, %w", name, yamlfile.Located(err))
	}
	c, err := newCompiler()
	if err != nil {
		return err
	}
	for i, r := range f.Rules {
		at := source{name: name, tree: tree, text: text, index: i, builtIn: builtIn}
		p, err := c.compile(r, at)
		if err != nil {
			return err
		}
		if s.Rule(r.ID) != nil {
			return at.errorf("id", "the rule %s is there twice", r.ID)
		}
		s.rules = append(s.rules, p)
	}
	return nil
}

// source is where a rule is written.
type source struct {
	name  string
	tree  *yamlast.File
	text  []byte
	index int
	// builtIn tells that it is a file of this package's.
	builtIn bool
}

// errorf is about a field of the rule.
func (s source) errorf(field, format string, args ...any) error {
	return s.at(field, 0, 0, fmt.Sprintf(format, args...))
}

// at is about a place in the text of a field: lines count from 1, columns from 0; zeros are for the field
// itself.
func (s source) at(field string, line, column int, what string) error {
	l, c := s.position(field)
	switch {
	case l == 0:
		return fmt.Errorf("%s, rule %d: %s", s.name, s.index+1, what)
	case line == 0:
	case s.isBlock(l, c):
		l, c = l+line, s.indent(l)+column+1
	case line == 1:
		c += column + s.quote(l, c)
	}
	return fmt.Errorf("%s, line %d, column %d: %s", s.name, l, c, what)
}

// position of the value of a field, or of the rule where it has none.
func (s source) position(field string) (line, column int) {
	for _, path := range []string{fmt.Sprintf("$.rules[%d].%s", s.index, field), fmt.Sprintf("$.rules[%d]", s.index)} {
		p, err := yaml.PathString(path)
		if err != nil {
			continue
		}
		node, err := p.FilterFile(s.tree)
		if err != nil || node == nil || node.GetToken() == nil {
			continue
		}
		at := node.GetToken().Position
		if _, ok := node.(*yamlast.LiteralNode); ok || at.Column > 0 {
			return at.Line, at.Column
		}
	}
	return 0, 0
}

func (s source) line(n int) []byte {
	lines := bytes.Split(s.text, []byte("\n"))
	if n < 1 || n > len(lines) {
		return nil
	}
	return lines[n-1]
}

// isBlock tells whether the value is a text on the lines below (| or >).
func (s source) isBlock(line, column int) bool {
	text := s.line(line)
	return column >= 1 && column <= len(text) && (text[column-1] == '|' || text[column-1] == '>')
}

// indent is that of the text below a line.
func (s source) indent(line int) int {
	text := s.line(line + 1)
	return len(text) - len(bytes.TrimLeft(text, " "))
}

func (s source) quote(line, column int) int {
	if text := s.line(line); column >= 1 && column <= len(text) && (text[column-1] == '"' || text[column-1] == '\'') {
		return 1
	}
	return 0
}

// check finds what is missing or cannot be.
func (r *Rule) check(at source) error {
	switch {
	case !isID(r.ID):
		return at.errorf("id", "%q is no id of a rule: small letters, digits and hyphens", r.ID)
	case r.Version < 1:
		return at.errorf("version", "%s has the version %d: it must be at least 1", r.ID, r.Version)
	case !slices.Contains(Severities(), r.Severity):
		return at.errorf("severity", "%s has the severity %q: there are %v", r.ID, r.Severity, Severities())
	}
	if r.Check {
		return r.checkCheck(at)
	}
	for _, need := range []struct{ field, text string }{{"title", r.Title}, {"when", r.When}, {"says", r.Says}} {
		if strings.TrimSpace(need.text) == "" {
			return at.errorf(need.field, "%s has no %s", r.ID, need.field)
		}
	}
	if len(r.Tests.Match) == 0 || len(r.Tests.Miss) == 0 {
		return at.errorf("tests", "%s has no tests: it needs one that matches, and one that just does not", r.ID)
	}
	for _, c := range slices.Concat(r.Tests.Match, r.Tests.Miss) {
		if len(c.Records) == 0 {
			return at.errorf("tests", "%s has a test %q without a record", r.ID, c.Name)
		}
		for _, text := range c.Records {
			if !json.Valid(text) {
				return at.errorf("tests", "%s has a test %q with what is no record", r.ID, c.Name)
			}
		}
	}
	return r.checkAttack(at)
}

// checkCheck is check for one that has no condition.
func (r *Rule) checkCheck(at source) error {
	if !at.builtIn || r.When != "" || r.Says != "" || len(r.Tests.Match)+len(r.Tests.Miss) > 0 {
		return at.errorf("check", "%s is a check: only rules that are built in are, and have no condition", r.ID)
	}
	return r.checkAttack(at)
}

func (r *Rule) checkAttack(at source) error {
	for _, id := range r.Attack {
		if !attackID.MatchString(id) {
			return at.errorf("attack", "%q is no technique of ATT&CK, as T1547.006 is", id)
		}
	}
	return nil
}

func isID(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && strings.Trim(s, "-") == s
}
