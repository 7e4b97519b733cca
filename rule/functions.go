package rule

import (
	"fmt"
	"path"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// Functions are what CEL cannot know, with their meanings, for people.
var Functions = []struct{ Call, Means string }{
	{"first_seen(KEY, …)", "no record before had these keys in this rule; the keys are texts"},
	{"count_since(DURATION, KEY, …)", "how many records, with this one, had these keys in this rule within that time"},
	{"watch_reason(NAME)", "why a name is on the watch-list at the time of the record; an empty text where it is not"},
	{"ancestor(record, NAME)", "who is responsible, or one of its ancestors, is that program: a name, or an absolute path"},
	{"who(record)", "who is responsible, as a text"},
	{"record.responsible", "whose need it was: the process that had the kernel ask for the module, or else the one that made the call"},
}

const (
	// memoryVariable is what first_seen and count_since remember. Its name cannot be written in an
	// expression.
	memoryVariable = "@memory"
	firstSeen      = "first_seen"
	countSince     = "count_since"
)

var memoryType = cel.OpaqueType("memory")

// functions declares them. What remembers gets the memory by a macro, so that an expression need not
// name it.
func functions(s *schema) []cel.EnvOption {
	keys := cel.ListType(cel.StringType)
	return []cel.EnvOption{
		cel.Variable(memoryVariable, memoryType),
		watchFunction(),
		cel.Macros(
			cel.GlobalVarArgMacro(firstSeen, remembering(0)),
			cel.GlobalVarArgMacro(countSince, remembering(1)),
		),
		cel.Function("@"+firstSeen, cel.Overload("first_seen_keys", []*cel.Type{memoryType, keys}, cel.BoolType,
			cel.BinaryBinding(func(m, keys ref.Val) ref.Val {
				return types.Bool(m.(*moment).first(textOf(keys)))
			}))),
		cel.Function("@"+countSince, cel.Overload("count_since_keys", []*cel.Type{memoryType, cel.DurationType, keys}, cel.IntType,
			cel.FunctionBinding(func(args ...ref.Val) ref.Val {
				return types.Int(args[0].(*moment).count(args[1].(types.Duration).Duration, textOf(args[2])))
			}))),
		cel.Function("ancestor", cel.Overload("ancestor_name", []*cel.Type{s.record(), cel.StringType}, cel.BoolType,
			cel.BinaryBinding(func(r, name ref.Val) ref.Val {
				return types.Bool(hasAncestor(r.Value().(*record.Record), string(name.(types.String))))
			}))),
		cel.Function("who", cel.Overload("who_record", []*cel.Type{s.record()}, cel.StringType,
			cel.UnaryBinding(func(r ref.Val) ref.Val { return types.String(who(r.Value().(*record.Record))) }))),
	}
}

// remembering makes f(a, key, …) the call @f(@memory, a, [key, …]), where a stands for so many
// arguments.
func remembering(plain int) cel.MacroFactory {
	return func(f cel.MacroExprFactory, _ ast.Expr, args []ast.Expr) (ast.Expr, *cel.Error) {
		name := firstSeen
		if plain > 0 {
			name = countSince
		}
		if len(args) <= plain {
			var at int64
			if len(args) > 0 {
				at = args[0].ID()
			}
			return nil, f.NewError(at, name+" needs a key")
		}
		call := append([]ast.Expr{f.NewIdent(memoryVariable)}, args[:plain]...)
		return f.NewCall("@"+name, append(call, f.NewList(args[plain:]...))...), nil
	}
}

// withMemory makes f(a) the call @f(@memory, a).
func withMemory(name string) cel.MacroFactory {
	return func(f cel.MacroExprFactory, _ ast.Expr, args []ast.Expr) (ast.Expr, *cel.Error) {
		return f.NewCall("@"+name, f.NewIdent(memoryVariable), args[0]), nil
	}
}

// textOf joins keys, so that no two lists of keys give the same.
func textOf(keys ref.Val) string {
	var b []byte
	for it := keys.(traits.Lister).Iterator(); it.HasNext() == types.True; {
		b = append(strconv.AppendQuote(b, string(it.Next().(types.String))), ' ')
	}
	return string(b)
}

func hasAncestor(r *record.Record, name string) bool {
	who := r.Responsible()
	if who == nil {
		return false
	}
	if isProgram(&who.Process, name) {
		return true
	}
	for i := range who.Ancestors {
		if isProgram(&who.Ancestors[i], name) {
			return true
		}
	}
	return false
}

// isProgram does not trust the name that a process gives itself where its file is known.
func isProgram(p *tracer.Process, name string) bool {
	switch {
	case p.Exe == nil:
		return p.Comm == name
	case path.IsAbs(name):
		return p.Exe.Path == name
	}
	return path.Base(p.Exe.Path) == name
}

func who(r *record.Record) string {
	p := r.Responsible()
	if p == nil {
		return "somebody who is not known"
	}
	person := record.Person(&p.Process)
	if strings.Trim(person, "0123456789") == "" {
		person = "user " + person // whose name was not known
	}
	return fmt.Sprintf("%s (%s, pid %d)", person, p.Comm, p.PID)
}

// memory is what one rule remembers of the records before.
type memory struct {
	seen   map[string]bool
	counts map[string][]time.Duration
	full   bool
}

// moment is the memory at one record, and the watch-list.
type moment struct {
	*memory
	now   time.Duration
	watch []*Watched
}

// The bounds of what a rule remembers. Anybody can make up names of modules.
const (
	maxKeys   = 16384
	maxCounts = 1024 // records of one key
)

// first tells whether these keys are new. Beyond the bound none is: a rule that has seen so much
// would find anything.
func (m *moment) first(keys string) bool {
	if m.seen[keys] {
		return false
	}
	if len(m.seen) >= maxKeys {
		m.full = true
		return false
	}
	m.seen[keys] = true
	return true
}

func (m *moment) count(within time.Duration, keys string) int {
	if _, ok := m.counts[keys]; !ok && len(m.counts) >= maxKeys {
		m.full = true
		m.forget(within)
	}
	times := m.counts[keys]
	for len(times) > 0 && (times[0] < m.now-within || len(times) >= maxCounts) {
		times = times[1:]
	}
	times = append(times, m.now)
	m.counts[keys] = times
	return len(times)
}

// forget makes room: keys that had no record within that time, or else all.
func (m *moment) forget(within time.Duration) {
	for keys, times := range m.counts {
		if times[len(times)-1] < m.now-within {
			delete(m.counts, keys)
		}
	}
	if len(m.counts) >= maxKeys {
		clear(m.counts)
	}
}

// The rest makes it a value of CEL.

func (m *moment) ConvertToNative(reflect.Type) (any, error) {
	return nil, fmt.Errorf("memory is no value")
}
func (m *moment) ConvertToType(ref.Type) ref.Val { return types.NewErr("memory is no value") }
func (m *moment) Equal(other ref.Val) ref.Val    { return types.Bool(other == ref.Val(m)) }
func (m *moment) Type() ref.Type                 { return memoryType }
func (m *moment) Value() any                     { return m }
