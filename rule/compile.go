package rule

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"github.com/kmodtrace/kmodtrace/internal/lazyregexp"
)

var attackID = lazyregexp.New(`^T\d{4}(\.\d{3})?$`)

// maxCost bounds what one expression may take of one record, in the steps that CEL counts. The rules
// that are built in take some hundred.
const maxCost = 100_000

// program is a compiled rule.
type program struct {
	*Rule
	when     cel.Program // nil for a check
	guard    guard       // of when
	guardAll bool        // when says no more than the guard
	fields   *fieldTable // that guards look at
	says     []piece
	subject  cel.Program
	evidence []evidence
}

// piece is a part of a text: literal, or an expression.
type piece struct {
	text  string
	value cel.Program
}

type evidence struct {
	field string
	value cel.Program
}

type compiler struct {
	env    *cel.Env
	fields *fieldTable
}

// newCompiler gives the one of all files: rules that share it share what is read of a record.
var newCompiler = sync.OnceValues(func() (*compiler, error) {
	s, err := newSchema()
	if err != nil {
		return nil, err
	}
	env, err := s.environment()
	return &compiler{env, newFieldTable(s.byName[s.record().TypeName()])}, err
})

func (c *compiler) compile(r *Rule, at source) (*program, error) {
	if err := r.check(at); err != nil {
		return nil, err
	}
	p := &program{Rule: r, fields: c.fields}
	if r.Check {
		return p, nil
	}
	tree, err := c.tree(at, "when", r.When, cel.BoolType)
	if err != nil {
		return nil, err
	}
	p.guard, p.guardAll = c.fields.guardOf(tree)
	if p.when, err = c.program(at, "when", tree); err != nil {
		return nil, err
	}
	subject := r.Subject
	if subject == "" {
		subject = recordVariable + ".module"
	}
	if p.subject, _, err = c.expression(at, "subject", subject, cel.StringType); err != nil {
		return nil, err
	}
	if p.says, err = c.text(at, r.Says); err != nil {
		return nil, err
	}
	for _, field := range r.Evidence {
		value, _, err := c.expression(at, "evidence", recordVariable+"."+field, nil)
		if err != nil {
			return nil, err
		}
		p.evidence = append(p.evidence, evidence{field, value})
	}
	return p, nil
}

// expression compiles one, of the wanted type; nil is any.
func (c *compiler) expression(at source, field, text string, want *cel.Type) (cel.Program, *cel.Type, error) {
	tree, err := c.tree(at, field, text, want)
	if err != nil {
		return nil, nil, err
	}
	p, err := c.program(at, field, tree)
	return p, tree.OutputType(), err
}

// tree checks an expression, which must be of the wanted type; nil is any.
func (c *compiler) tree(at source, field, text string, want *cel.Type) (*cel.Ast, error) {
	tree, issues := c.env.Compile(text)
	if issues.Err() != nil {
		first := issues.Errors()[0]
		return nil, at.at(field, first.Location.Line(), first.Location.Column(), first.Message)
	}
	if want != nil && !tree.OutputType().IsExactType(want) {
		return nil, at.errorf(field, "%s is of type %s: it must be %s", field, tree.OutputType(), want)
	}
	return tree, nil
}

func (c *compiler) program(at source, field string, tree *cel.Ast) (cel.Program, error) {
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if repeats(tree) {
		options = append(options, cel.CostLimit(maxCost))
	}
	p, err := c.env.Program(tree, options...)
	if err != nil {
		return nil, at.errorf(field, "%v", err)
	}
	return p, nil
}

// repeats tells whether an expression does something for each item of a list. Others take no more than
// they are long, and to count the steps of one takes twice what it does itself.
func repeats(tree *cel.Ast) bool {
	root := ast.NavigateAST(tree.NativeRep())
	return len(ast.MatchDescendants(root, ast.KindMatcher(ast.ComprehensionKind))) > 0
}

// text takes apart what a finding says: {…} is an expression, {{ and }} are braces.
func (c *compiler) text(at source, text string) (pieces []piece, err error) {
	var literal strings.Builder
	for rest := text; rest != ""; {
		switch {
		case strings.HasPrefix(rest, "{{"), strings.HasPrefix(rest, "}}"):
			literal.WriteByte(rest[0])
			rest = rest[2:]
			continue
		case rest[0] == '}':
			return nil, at.errorf("says", "says has a } without a {")
		case rest[0] != '{':
			literal.WriteByte(rest[0])
			rest = rest[1:]
			continue
		}
		end := strings.IndexByte(rest, '}')
		if end < 0 {
			return nil, at.errorf("says", "says has a { without a }")
		}
		value, kind, err := c.expression(at, "says", rest[1:end], nil)
		if err != nil {
			return nil, err
		}
		if !isText(kind) {
			return nil, at.errorf("says", "{%s} is of type %s, which is no text", rest[1:end], kind)
		}
		pieces = append(pieces, piece{text: literal.String()}, piece{value: value})
		literal.Reset()
		rest = rest[end+1:]
	}
	return append(pieces, piece{text: literal.String()}), nil
}

func isText(t *cel.Type) bool {
	switch t.Kind() {
	case types.StringKind, types.IntKind, types.DurationKind:
		return true
	case types.ListKind:
		return t.Parameters()[0].Kind() == types.StringKind
	}
	return false
}

// unknown stands in a text for what the record does not have.
const unknown = "(not known)"

// say makes the text of a finding.
func say(pieces []piece, vars cel.Activation) string {
	var b strings.Builder
	for _, p := range pieces {
		if p.value == nil {
			b.WriteString(p.text)
			continue
		}
		v, _, err := p.value.Eval(vars)
		if err != nil {
			b.WriteString(unknown)
			continue
		}
		b.WriteString(inWords(v))
	}
	return b.String()
}

func inWords(v ref.Val) string {
	switch v := v.(type) {
	case types.String:
		return string(v)
	case types.Int:
		return strconv.FormatInt(int64(v), 10)
	case types.Duration:
		return v.Duration.String()
	case traits.Lister:
		var all []string
		for it := v.Iterator(); it.HasNext() == types.True; {
			all = append(all, inWords(it.Next()))
		}
		return strings.Join(all, ", ")
	}
	return unknown
}

// errCost is why a rule is stopped.
var errCost = errors.New("it takes too much")

// holds tells whether the condition holds of a record that passes its guard. What needs an absent field does not.
func (p *program) holds(vars cel.Activation) (bool, error) {
	if p.guardAll {
		return true, nil
	}
	return p.evaluate(vars)
}

// evaluate asks CEL for the condition itself, of any record.
func (p *program) evaluate(vars cel.Activation) (bool, error) {
	v, _, err := p.when.Eval(vars)
	if err != nil {
		if strings.Contains(err.Error(), "cost limit exceeded") {
			return false, fmt.Errorf("rule %s: %w of a record: %d steps", p.ID, errCost, maxCost)
		}
		return false, nil
	}
	return v == types.True, nil
}

// plain gives a value as evidence: a text, a number, a truth value, or a list of texts.
func plain(v ref.Val) any {
	switch v := v.(type) {
	case types.Bool:
		return bool(v)
	case object:
		return "present"
	}
	return inWords(v)
}
