package rule

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"github.com/kmodtrace/kmodtrace/record"
)

// guard is what must be so of a record before a condition can hold. Most conditions do not hold of most records, and what says so
// is a part of them as record.action == "load": to look at that takes little, and each field is read once for all rules. Many
// guards say all that their condition says, and then CEL is not asked.
type guard []demand

// demand is a conjunct of a condition: something on one field, or alternatives.
type demand struct {
	field *field
	is    func(ref.Val) bool // of what the field has
	// present: the field must exist, whatever it is. absent: it must not, and the object that it belongs to must exist.
	present, absent bool
	// oneOf has guards of which one must pass. It is used where field is nil.
	oneOf []guard
}

// guardOf gives the guard of an expression, and tells whether it says all that the expression says. A conjunct of another form
// than those below adds nothing to it.
//
// A condition that remembers something must see the same records with it and without it. CEL does not come to what remembers
// where a conjunct before that is false; it does where one is an error. So there only counts what stands before it, and of what
// every record has.
func (t *fieldTable) guardOf(tree *cel.Ast) (g guard, all bool) {
	r := guardReader{table: t}
	if whole := r.conjuncts(&g, tree.NativeRep().Expr()); !whole {
		g = slices.DeleteFunc(g, func(d demand) bool { return !d.always() })
	}
	return g, !r.more
}

// guardReader reads an expression.
type guardReader struct {
	table *fieldTable
	more  bool // the expression says more than the guard
}

// always tells whether the demand is only on fields that every record has.
func (d *demand) always() bool {
	if d.field != nil {
		return d.field.path == "action" || d.field.path == "outcome"
	}
	for _, g := range d.oneOf {
		for i := range g {
			if !g[i].always() {
				return false
			}
		}
	}
	return true
}

// remembers tells whether something in an expression does.
func remembers(e ast.Expr) (does bool) {
	ast.PostOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		does = does || e.Kind() == ast.CallKind && slices.Contains([]string{"@" + firstSeen, "@" + countSince}, e.AsCall().FunctionName())
	}))
	return does
}

// conjuncts takes those of an expression in order, up to one that remembers; it tells whether there is none.
func (r *guardReader) conjuncts(g *guard, e ast.Expr) (whole bool) {
	if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == operators.LogicalAnd {
		for _, arg := range e.AsCall().Args() {
			if !r.conjuncts(g, arg) {
				return false
			}
		}
		return true
	}
	if remembers(e) {
		r.more = true
		return false
	}
	d, ok := r.demandOf(e)
	if !ok {
		r.more = true
		return true
	}
	*g = append(*g, d)
	return true
}

// alternatives takes those of an expression; it tells whether it knows something of each.
func (r *guardReader) alternatives(all *[]guard, e ast.Expr) bool {
	if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == operators.LogicalOr {
		for _, arg := range e.AsCall().Args() {
			if !r.alternatives(all, arg) {
				return false
			}
		}
		return true
	}
	var g guard
	r.conjuncts(&g, e)
	*all = append(*all, g)
	return len(g) > 0
}

// demandOf reads a conjunct; false for one that it does not know.
func (r *guardReader) demandOf(e ast.Expr) (d demand, ok bool) {
	if path, asks := pathOf(e); path != "" {
		return demand{field: r.table.field(path), is: among(types.True), present: asks}, true
	}
	if e.Kind() == ast.ComprehensionKind {
		return r.demandOfExists(e.AsComprehension())
	}
	if e.Kind() != ast.CallKind {
		return d, false
	}
	call := e.AsCall()
	args := call.Args()
	if call.FunctionName() == operators.LogicalNot {
		if path, asks := pathOf(args[0]); asks {
			return demand{field: r.table.field(path), absent: true}, true
		}
	}
	if call.IsMemberFunction() {
		args = slices.Concat([]ast.Expr{call.Target()}, args)
	}
	of := slices.IndexFunc(args, func(e ast.Expr) bool { path, asks := pathOf(e); return path != "" && !asks })
	switch function := call.FunctionName(); {
	case function == operators.LogicalOr:
		return d, r.alternatives(&d.oneOf, e)
	case of < 0:
		return d, false
	case function == operators.LogicalNot:
		d.is = among(types.False)
	case function == operators.Equals && of == 0:
		d.is = among(literals(args[1])...)
	case function == operators.NotEquals && of == 0:
		if is := among(literals(args[1])...); is != nil {
			d.is = func(v ref.Val) bool { return !is(v) }
		}
	case function == operators.In && of == 0 && args[1].Kind() == ast.ListKind:
		d.is = among(literals(args[1].AsList().Elements()...)...)
	case function == operators.In && of == 1:
		d.is = has(literals(args[0]))
	case function == "matches" && of == 0:
		d.is = matches(literals(args[1]))
	}
	if d.is == nil {
		return d, false
	}
	path, _ := pathOf(args[of])
	d.field = r.table.field(path)
	return d, true
}

// demandOfExists reads list.exists(…), which nothing in an empty list can make true. Its comprehension begins with false.
func (r *guardReader) demandOfExists(e ast.ComprehensionExpr) (demand, bool) {
	path, asks := pathOf(e.IterRange())
	begins := literals(e.AccuInit())
	if path == "" || asks || len(begins) != 1 || begins[0] != types.False {
		return demand{}, false
	}
	r.more = true
	return demand{field: r.table.field(path), present: true}, true
}

// among gives a function that tells whether a value is one of these; nil where there are none.
func among(values ...ref.Val) func(ref.Val) bool {
	if len(values) == 0 {
		return nil
	}
	return func(v ref.Val) bool {
		return slices.ContainsFunc(values, func(want ref.Val) bool { return v.Equal(want) == types.True })
	}
}

// has gives a function that tells whether a list contains the value; nil where there is not one value.
func has(value []ref.Val) func(ref.Val) bool {
	if len(value) != 1 {
		return nil
	}
	return func(v ref.Val) bool {
		list, is := v.(traits.Container)
		return is && list.Contains(value[0]) == types.True
	}
}

// matches gives a function that tells whether a text matches the pattern; nil for a pattern that cannot be compiled, for which CEL
// gives an error at each record.
func matches(pattern []ref.Val) func(ref.Val) bool {
	if len(pattern) != 1 {
		return nil
	}
	text, ok := pattern[0].(types.String)
	if !ok {
		return nil
	}
	r, err := regexp.Compile(string(text))
	if err != nil {
		return nil
	}
	return func(v ref.Val) bool {
		text, ok := v.(types.String)
		return ok && r.MatchString(string(text))
	}
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

// fieldTable has the fields that guards look at, each once.
type fieldTable struct {
	record *structure

	mu    sync.Mutex
	known map[string]*field
}

// field is one of them: path is as in record.file.path, without the record.
type field struct {
	path   string
	parent *field // nil for one of the record itself
	number int    // from 0 on
	name   string
}

func newFieldTable(record *structure) *fieldTable {
	return &fieldTable{record: record, known: make(map[string]*field)}
}

func (t *fieldTable) field(path string) *field {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.add(path)
}

func (t *fieldTable) add(path string) *field {
	if f := t.known[path]; f != nil {
		return f
	}
	f := &field{path: path, name: path}
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		f.parent, f.name = t.add(path[:i]), path[i+1:]
	}
	f.number = len(t.known)
	t.known[path] = f
	return f
}

// fields are those of one record that were asked for.
type fields struct {
	of     *structure // the record's
	record *record.Record
	values []fieldValue // by the fields' numbers
	reads  uint64       // which record it is
}

// fieldValue is what the record had that was looked at last; nil for a field that it did not have.
type fieldValue struct {
	v    ref.Val
	read uint64
}

// begin forgets the record before.
func (f *fields) begin(r *record.Record) {
	f.record = r
	f.reads++
}

// get gives a field, which is there as CEL's has says.
func (f *fields) get(of *field) (v ref.Val) {
	if of.number < len(f.values) && f.values[of.number].read == f.reads {
		return f.values[of.number].v
	}
	parent := object{f.of, f.record}
	ok := true
	if of.parent != nil {
		parent, ok = f.get(of.parent).(object)
	}
	if ok {
		if got, err := parent.of.fields[of.name].GetFrom(parent.pointer); err == nil {
			v = got.(ref.Val)
		}
	}
	for len(f.values) <= of.number {
		f.values = append(f.values, fieldValue{})
	}
	f.values[of.number] = fieldValue{v, f.reads}
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
		if !g[i].met(f) {
			return false
		}
	}
	return true
}

func (d *demand) met(f *fields) bool {
	if d.field == nil {
		return slices.ContainsFunc(d.oneOf, func(g guard) bool { return g.pass(f) })
	}
	v := f.get(d.field)
	switch {
	case d.present:
		return asked(v)
	case d.absent:
		return !asked(v) && (d.field.parent == nil || f.get(d.field.parent) != nil)
	}
	return v != nil && d.is(v)
}
