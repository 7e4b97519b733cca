package rule

import (
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"github.com/kmodtrace/kmodtrace/record"
)

// guard is what must be so of a record before a condition can hold. Most conditions do not hold of most records, and what says so
// is a part of them as record.action == "load": to look at that takes little, and each field is read once for all rules.
type guard []demand

// demand is a conjunct of a condition on one field.
type demand struct {
	path string // as in record.file.path, without the record
	want []ref.Val
	// unlike tells that the field must have none of these values; present that it must only be there.
	unlike, present bool
}

// guardOf finds it in an expression. Of a conjunct that it does not know it demands nothing.
//
// A condition that remembers something must see the same records with it and without it. CEL does not come to what remembers
// where a conjunct before that is false; it does where one is an error. So there only counts what stands before it, and of what
// every record has.
func guardOf(tree *cel.Ast) (g guard) {
	root := tree.NativeRep().Expr()
	whole := g.conjuncts(root)
	if !whole {
		g = slices.DeleteFunc(g, func(d demand) bool { return d.path != "action" && d.path != "outcome" })
	}
	return g
}

// remembers tells whether something in an expression does.
func remembers(e ast.Expr) (does bool) {
	ast.PostOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		does = does || e.Kind() == ast.CallKind && slices.Contains([]string{"@" + firstSeen, "@" + countSince}, e.AsCall().FunctionName())
	}))
	return does
}

// conjuncts takes those of an expression in order, up to one that remembers; it tells whether there is none.
func (g *guard) conjuncts(e ast.Expr) (whole bool) {
	if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == operators.LogicalAnd {
		for _, arg := range e.AsCall().Args() {
			if !g.conjuncts(arg) {
				return false
			}
		}
		return true
	}
	if remembers(e) {
		return false
	}
	if d, ok := demandOf(e); ok {
		*g = append(*g, d)
	}
	return true
}

// demandOf reads a conjunct; false for one that it does not know.
func demandOf(e ast.Expr) (d demand, ok bool) {
	if path, asks := pathOf(e); path != "" {
		return demand{path: path, want: []ref.Val{types.True}, present: asks}, true
	}
	if e.Kind() != ast.CallKind || len(e.AsCall().Args()) == 0 {
		return d, false
	}
	call := e.AsCall()
	path, asks := pathOf(call.Args()[0])
	if path == "" || asks {
		return d, false
	}
	d.path = path
	switch call.FunctionName() {
	case operators.LogicalNot:
		d.want = []ref.Val{types.False}
		return d, true
	case operators.Equals, operators.NotEquals:
		d.unlike = call.FunctionName() == operators.NotEquals
		d.want = literals(call.Args()[1])
	case operators.In:
		if list := call.Args()[1]; list.Kind() == ast.ListKind {
			d.want = literals(list.AsList().Elements()...)
		}
	}
	return d, len(d.want) > 0
}

// literals gives the values of expressions; nil where one is none.
func literals(all ...ast.Expr) (values []ref.Val) {
	for _, e := range all {
		if e.Kind() != ast.LiteralKind {
			return nil
		}
		values = append(values, e.AsLiteral())
	}
	return values
}

// pathOf gives the path of a field of the record, and whether the expression only asks whether there is one; empty for another
// expression.
func pathOf(e ast.Expr) (path string, asks bool) {
	var names []string
	for e.Kind() == ast.SelectKind {
		s := e.AsSelect()
		if s.IsTestOnly() && len(names) > 0 {
			return "", false
		}
		asks = asks || s.IsTestOnly()
		names = append(names, s.FieldName())
		if e = s.Operand(); e.Kind() == ast.IdentKind && e.AsIdent() == recordVariable {
			slices.Reverse(names)
			return strings.Join(names, "."), asks
		}
	}
	return "", false
}

// fields are those of a record that were asked for: nil for one that is absent.
type fields struct {
	record *record.Record
	of     *structure
	known  map[string]ref.Val
}

// get gives a field, which is there as CEL's has says.
func (f *fields) get(path string) ref.Val {
	if v, known := f.known[path]; known {
		return v
	}
	parent, name := object{f.of, f.record}, path
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		p, ok := f.get(path[:i]).(object)
		if !ok {
			f.known[path] = nil
			return nil
		}
		parent, name = p, path[i+1:]
	}
	var v ref.Val
	if got, err := parent.of.fields[name].GetFrom(parent.pointer); err == nil {
		v = got.(ref.Val)
	}
	f.known[path] = v
	return v
}

// asked tells whether CEL's has says that there is such a field: an empty list is none.
func asked(v ref.Val) bool {
	list, is := v.(interface{ Size() ref.Val })
	return v != nil && (!is || list.Size() != types.IntZero)
}

// pass tells whether the condition can hold.
func (g guard) pass(f *fields) bool {
	for i := range g {
		d := &g[i]
		v := f.get(d.path)
		switch {
		case d.present:
			if !asked(v) {
				return false
			}
		case v == nil, slices.ContainsFunc(d.want, func(w ref.Val) bool { return v.Equal(w) == types.True }) == d.unlike:
			return false
		}
	}
	return true
}
