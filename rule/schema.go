package rule

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// schema gives CEL the types of records, by reflection: a field has the name that it has as JSON, so
// that there is one owner of the names.
type schema struct {
	*types.Registry // of what is no type of ours
	byName          map[string]*structure
	byType          map[reflect.Type]*structure
}

// structure is the type of an object.
type structure struct {
	typ    *types.Type
	fields map[string]*types.FieldType
	names  []string // in their order
}

// responsible is a field that a record has no JSON for: [record.Record.Responsible].
const responsible = "responsible"

func newSchema() (*schema, error) {
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, err
	}
	s := &schema{Registry: registry, byName: make(map[string]*structure), byType: make(map[reflect.Type]*structure)}
	of := s.structure(reflect.TypeFor[record.Record]())
	s.add(of, responsible, s.structure(reflect.TypeFor[tracer.Actor]()).typ, func(target reflect.Value) (ref.Val, bool) {
		who := target.Addr().Interface().(*record.Record).Responsible()
		return s.NativeToValue(who), who != nil
	})
	return s, nil
}

// record is the type of records.
func (s *schema) record() *types.Type { return s.byType[reflect.TypeFor[record.Record]()].typ }

// structure gives the type of a Go struct, and makes it when it is first asked for.
func (s *schema) structure(t reflect.Type) *structure {
	if known := s.byType[t]; known != nil {
		return known
	}
	of := &structure{typ: types.NewObjectType(t.String()), fields: make(map[string]*types.FieldType)}
	s.byType[t], s.byName[t.String()] = of, of
	s.addFields(of, t, nil)
	return of
}

func (s *schema) addFields(of *structure, t reflect.Type, embedded []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		index := append(embedded[:len(embedded):len(embedded)], i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			s.addFields(of, f.Type, index)
			continue
		case !f.IsExported(), name == "", name == "-":
			continue
		}
		kind, convert := s.conversion(f.Type, strings.Contains(options, "string"))
		if kind == nil {
			continue
		}
		omitted := strings.Contains(options, "omit")
		s.add(of, name, kind, func(target reflect.Value) (ref.Val, bool) {
			v := target.FieldByIndex(index)
			if omitted && unknownAt(v) {
				return nil, false
			}
			return convert(v), true
		})
	}
}

// unknownAt tells whether a field that is left out where it is zero is unknown then. A number or a
// truth value that is left out is zero or false, and a list is empty: docs/schema says so.
func unknownAt(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.String, reflect.Struct:
		return v.IsZero()
	}
	_, id := v.Interface().(tracer.ID)
	return id && v.IsZero()
}

// add adds a field. get tells whether an object has it.
func (s *schema) add(to *structure, name string, kind *types.Type, get func(reflect.Value) (ref.Val, bool)) {
	to.names = append(to.names, name)
	absent := fmt.Errorf("no such field: %s is absent", name)
	to.fields[name] = &types.FieldType{
		Type: kind,
		IsSet: func(target any) bool {
			v, ok := get(reflect.ValueOf(target).Elem())
			if list, isList := v.(interface{ Size() ref.Val }); ok && isList {
				return list.Size() != types.IntZero
			}
			return ok
		},
		GetFrom: func(target any) (any, error) {
			if v, ok := get(reflect.ValueOf(target).Elem()); ok {
				return v, nil
			}
			return nil, absent
		},
	}
}

// conversion gives the type that values of a Go type have in CEL, and how they become that. text says
// that a number is a string as JSON. Nil is for what no rule can use.
func (s *schema) conversion(t reflect.Type, text bool) (*types.Type, func(reflect.Value) ref.Val) {
	switch {
	case t == reflect.TypeFor[tracer.Taints]():
		return types.NewListType(types.StringType), func(v reflect.Value) ref.Val {
			return types.NewStringList(s, v.Interface().(tracer.Taints).Names())
		}
	case t == reflect.TypeFor[time.Time]():
		return types.TimestampType, func(v reflect.Value) ref.Val { return types.Timestamp{Time: v.Interface().(time.Time)} }
	case t == reflect.TypeFor[time.Duration]():
		return types.DurationType, func(v reflect.Value) ref.Val { return types.Duration{Duration: time.Duration(v.Int())} }
	case t.Kind() != reflect.Pointer && t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		if t.Kind() == reflect.Uint8 {
			words := wordsOf(t)
			return types.StringType, func(v reflect.Value) ref.Val { return words[v.Uint()] }
		}
		return types.StringType, func(v reflect.Value) ref.Val { return word(v) }
	}
	switch t.Kind() {
	case reflect.Bool:
		return types.BoolType, func(v reflect.Value) ref.Val { return types.Bool(v.Bool()) }
	case reflect.String:
		return types.StringType, func(v reflect.Value) ref.Val { return types.String(v.String()) }
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if text {
			return types.StringType, func(v reflect.Value) ref.Val { return types.String(strconv.FormatInt(v.Int(), 10)) }
		}
		return types.IntType, func(v reflect.Value) ref.Val { return types.Int(v.Int()) }
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		if text {
			return types.StringType, func(v reflect.Value) ref.Val { return types.String(strconv.FormatUint(v.Uint(), 10)) }
		}
		return types.IntType, func(v reflect.Value) ref.Val { return types.Int(min(v.Uint(), math.MaxInt64)) }
	case reflect.Pointer:
		if t.Elem().Kind() == reflect.Struct {
			return s.structure(t.Elem()).typ, func(v reflect.Value) ref.Val { return s.NativeToValue(v.Interface()) }
		}
		kind, convert := s.conversion(t.Elem(), text)
		return kind, func(v reflect.Value) ref.Val { return convert(v.Elem()) }
	case reflect.Struct:
		return s.structure(t).typ, func(v reflect.Value) ref.Val { return s.NativeToValue(v.Addr().Interface()) }
	case reflect.Slice:
		kind, convert := s.conversion(t.Elem(), false)
		if kind == nil {
			return nil, nil
		}
		return types.NewListType(kind), func(v reflect.Value) ref.Val {
			values := make([]ref.Val, v.Len())
			for i := range values {
				values[i] = convert(v.Index(i))
			}
			return types.NewRefValList(s, values)
		}
	case reflect.Map:
		if t == reflect.TypeFor[map[string]string]() {
			return types.NewMapType(types.StringType, types.StringType), func(v reflect.Value) ref.Val {
				return types.NewStringStringMap(s, v.Interface().(map[string]string))
			}
		}
	}
	return nil, nil
}

// word gives the text of a value that is a text as JSON.
func word(v reflect.Value) ref.Val {
	text, err := v.Interface().(encoding.TextMarshaler).MarshalText()
	if err != nil {
		return types.WrapErr(err)
	}
	return types.String(text)
}

// wordsOf gives the texts of all values of a small type: nearly every rule asks for an action's kind
// and outcome.
func wordsOf(t reflect.Type) (words [256]ref.Val) {
	for i := range words {
		v := reflect.New(t).Elem()
		v.SetUint(uint64(i))
		words[i] = word(v)
	}
	return words
}

// NativeToValue takes pointers to structs too.
func (s *schema) NativeToValue(v any) ref.Val {
	if t := reflect.TypeOf(v); t != nil && t.Kind() == reflect.Pointer {
		if of := s.byType[t.Elem()]; of != nil {
			return object{of, v}
		}
	}
	return s.Registry.NativeToValue(v)
}

func (s *schema) FindStructType(name string) (*types.Type, bool) {
	if of := s.byName[name]; of != nil {
		return types.NewTypeTypeWithParam(of.typ), true
	}
	return s.Registry.FindStructType(name)
}

func (s *schema) FindStructFieldNames(name string) ([]string, bool) {
	if of := s.byName[name]; of != nil {
		return of.names, true
	}
	return s.Registry.FindStructFieldNames(name)
}

func (s *schema) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	if of := s.byName[name]; of != nil {
		f, ok := of.fields[field]
		return f, ok
	}
	return s.Registry.FindStructFieldType(name, field)
}

// object is a struct as a value of CEL: it has fields, and nothing else.
type object struct {
	of      *structure
	pointer any
}

func (o object) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("%s cannot become %s", o.of.typ.TypeName(), t)
}

func (o object) ConvertToType(t ref.Type) ref.Val {
	if t == types.TypeType {
		return o.of.typ
	}
	return types.NewErr("%s cannot become %s", o.of.typ.TypeName(), t.TypeName())
}

func (o object) Equal(other ref.Val) ref.Val {
	p, ok := other.(object)
	return types.Bool(ok && p.pointer == o.pointer)
}

func (o object) Type() ref.Type { return o.of.typ }
func (o object) Value() any     { return o.pointer }

// Get gives a field where CEL does not know the type before: behind an optional one.
func (o object) Get(name ref.Val) ref.Val {
	f := o.of.fields[string(name.(types.String))]
	if f == nil {
		return types.NewErr("no such field: %s", name)
	}
	v, err := f.GetFrom(o.pointer)
	if err != nil {
		return types.WrapErr(err)
	}
	return v.(ref.Val)
}

// IsSet tells whether it has a field.
func (o object) IsSet(name ref.Val) ref.Val {
	f := o.of.fields[string(name.(types.String))]
	return types.Bool(f != nil && f.IsSet(o.pointer))
}

// environment is what conditions and texts are compiled in.
func (s *schema) environment() (*cel.Env, error) {
	return cel.NewEnv(append([]cel.EnvOption{
		cel.CustomTypeProvider(s), cel.CustomTypeAdapter(s), cel.OptionalTypes(),
		cel.Variable(recordVariable, s.record()),
	}, functions(s)...)...)
}

// recordVariable is what a condition is about.
const recordVariable = "record"
