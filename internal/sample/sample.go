// Package sample makes values with a text in each place that can hold one, for tests of what prints them.
package sample

import (
	"reflect"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/fleet"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/kbuild"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/oops"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/provenance"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/reload"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// New gives a value in which every field is set, and every text is the given one.
func New[T any](text string) *T {
	v := new(T)
	fill(reflect.ValueOf(v).Elem(), text)
	return v
}

// Action has a requester who has one, and that one has none.
func Action(text string) *record.Record {
	e := New[record.Record](text)
	inner := *e.Requester
	e.Requester.Requester = &inner
	e.AwaitedBy[0].Requester = &inner
	return e
}

// Cause has a cause inside, and that one has none: causes go on for ever.
func Cause(text string) cause.Cause {
	c := cause.Cause{
		Code: cause.LoadFailed, Text: text, Evidence: []string{text}, Next: text,
		Names: map[string]string{"x": text}, Remaining: []cause.Code{cause.Unknown},
	}
	inner := c
	c.Inner = &inner
	return c
}

// fill sets every field that can be set, all the way down: strings to text,
// numbers to 1, flags to true, and one of each to lists.
func fill(v reflect.Value, text string) {
	if word, ok := Words[v.Type()]; ok {
		v.SetString(word)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		if inner, ok := v.Interface().(*cause.Cause); ok {
			*inner = Cause(text)
			return
		}
		fill(v.Elem(), text)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("x"), reflect.ValueOf(text))
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), text)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), text)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)))
			return
		}
		for i := range v.NumField() {
			inside := v.Field(i).Type()
			if inside.Kind() == reflect.Slice {
				inside = inside.Elem()
			}
			endless := inside == reflect.PointerTo(v.Type())
			if v.Field(i).CanSet() && !endless {
				fill(v.Field(i), text)
			}
		}
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		v.SetUint(1)
	default:
		panic("fill: " + v.Type().String())
	}
}

// Words has a value of each string type of which not every text is one.
var Words = map[reflect.Type]string{
	reflect.TypeFor[fleet.Trouble]():    string(fleet.Missing),
	reflect.TypeFor[fleet.Difference](): string(fleet.Extra),

	reflect.TypeFor[proof.Verdict](): string(proof.Refused),

	reflect.TypeFor[reload.ContentFrom](): string(reload.ContentKept),
	reflect.TypeFor[reload.ParamsFrom]():  string(reload.ParamsTaken),
	reflect.TypeFor[reload.Copy]():        string(reload.CopyBack),

	reflect.TypeFor[kmod.SectionKind](): string(kmod.SectionText),
	reflect.TypeFor[kbuild.Severity]():  string(kbuild.Warning),

	reflect.TypeFor[oops.Kind]():          string(oops.Warning),
	reflect.TypeFor[tracer.Format]():      string(tracer.FormatXz),
	reflect.TypeFor[cause.Code]():         string(cause.Unknown),
	reflect.TypeFor[cause.Judgement]():    string(cause.Refused),
	reflect.TypeFor[provenance.State]():   string(provenance.Same),
	reflect.TypeFor[record.CopySource]():  string(record.FromKernel),
	reflect.TypeFor[provenance.Content](): string(provenance.Differs),
	reflect.TypeFor[journal.Kind]():       string(journal.KindAction),
	reflect.TypeFor[journal.What]():       string(journal.Files),
	reflect.TypeFor[journal.Reason]():     string(journal.Unseen),
	reflect.TypeFor[journal.Trouble]():    string(journal.Removed),
	reflect.TypeFor[provenance.Digest]():  strings.Repeat("9f", 32),
}
