package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/account"
	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/docs/schema"
	"github.com/kmodtrace/kmodtrace/internal/trial"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/kbuild"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/provenance"
	"github.com/kmodtrace/kmodtrace/reload"
	"github.com/kmodtrace/kmodtrace/service"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemas loads the published schemas from this binary: a guest has no source tree.
type schemas struct{}

func (schemas) Load(url string) (any, error) {
	f, err := schema.Files().Open(path.Base(url))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return jsonschema.UnmarshalJSON(f)
}

// compiled has each schema by its name, as a function that gives it. One check takes far
// less than compiling, which takes a guest 0.2 s, and tests check hundreds of lines.
var compiled sync.Map

func compileSchema(name string) (*jsonschema.Schema, error) {
	once, _ := compiled.LoadOrStore(name, sync.OnceValues(func() (*jsonschema.Schema, error) {
		compiler := jsonschema.NewCompiler()
		compiler.UseLoader(schemas{})
		compiler.AssertFormat()
		return compiler.Compile("schema:///" + name + ".schema.json")
	}))
	return once.(func() (*jsonschema.Schema, error))()
}

// validateText checks one JSON value against a schema.
func validateText(name string, text []byte) error {
	compiled, err := compileSchema(name)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return compiled.Validate(value)
}

// fill sets every field that can be set, all the way down: strings to text,
// numbers to 1, flags to true, and one of each to lists.
func fill(v reflect.Value, text string) {
	if word, ok := enumWords()[v.Type()]; ok {
		v.SetString(word)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		if inner, ok := v.Interface().(*cause.Cause); ok {
			*inner = filledCause(text)
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
			endless := v.Field(i).Type() == reflect.PointerTo(v.Type())
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

// filledAction has a requester who has one, and that one has none.
func filledAction(text string) *account.Account {
	e := filled[account.Account](text)
	inner := *e.Requester
	e.Requester.Requester = &inner
	e.AwaitedBy[0].Requester = &inner
	return e
}

// filledCause has a cause inside, and that one has none: causes go on for ever.
func filledCause(text string) cause.Cause {
	c := cause.Cause{
		Code: cause.LoadFailed, Text: text, Evidence: []string{text}, Next: text,
		Names: map[string]string{"x": text}, Remaining: []cause.Code{cause.Unknown},
	}
	inner := c
	c.Inner = &inner
	return c
}

// filledRecord has all that one record never has at once.
func filledRecord(text string) *journal.Document {
	r := filled[journal.Document](text)
	var err error
	if r.Action, err = json.Marshal(filledAction(text)); err != nil {
		panic(err)
	}
	module := filled[kmod.Module](text)
	module.InitState = "live"
	note := map[string]any{"text": text, "module": module, "loss": map[string]int{"events": 1}, "folded": filledFold(text)}
	if r.Note, err = json.Marshal(note); err != nil {
		panic(err)
	}
	return r
}

func filledFold(text string) service.Folded {
	uid, at := uint32(1), time.Unix(1, 0).UTC()
	return service.Folded{
		UID: &uid, User: text, UIDs: []uint32{1}, Action: "load", Count: 1, First: at, Last: at, Errnos: map[string]int64{text: 1},
		InKernel: 1, Unread: 1, Unqueued: 1, Unwritten: 1, Modules: []string{text}, Programs: []string{text}, Containers: []string{text},
	}
}

func filledTrial(text string) *trial.Report {
	r := filled[trial.Report](text)
	r.Verdict, r.Faults[0].Kind, r.Faults[0].Step, r.Messages[0].Step = trial.Leaking, trial.Oops, trial.StepLoad, trial.StepLoad
	return r
}

func filledLoaded(text string) *loadedJSON {
	l := filled[loadedJSON](text)
	l.Modules[0].Kind = journal.KindPresent
	return l
}

func filledReload(text string) *reload.Result {
	r := filled[reload.Result](text)
	r.Command, r.Unload.Command, r.Load.Command, r.Restore.Command = "reload", "unload", "load", "load"
	return r
}

// enumWords are the string types of which not every text is a value.
func enumWords() map[reflect.Type]string {
	return map[reflect.Type]string{
		reflect.TypeFor[proof.Verdict](): string(proof.Refused),
		reflect.TypeFor[have]():          string(unknown),

		reflect.TypeFor[reload.ContentFrom](): string(reload.ContentKept),
		reflect.TypeFor[reload.ParamsFrom]():  string(reload.ParamsTaken),
		reflect.TypeFor[reload.Copy]():        string(reload.CopyBack),

		reflect.TypeFor[kmod.SectionKind](): string(kmod.SectionText),
		reflect.TypeFor[buildVerdict]():     string(notBuilt),
		reflect.TypeFor[kbuild.Severity]():  string(kbuild.Warning),

		reflect.TypeFor[tracer.Format]():     string(tracer.FormatXz),
		reflect.TypeFor[cause.Code]():        string(cause.Unknown),
		reflect.TypeFor[cause.Judgement]():   string(cause.Refused),
		reflect.TypeFor[provenance.State]():  string(provenance.Same),
		reflect.TypeFor[journal.Kind]():      string(journal.KindAction),
		reflect.TypeFor[journal.What]():      string(journal.Files),
		reflect.TypeFor[journal.Reason]():    string(journal.Unseen),
		reflect.TypeFor[journal.Trouble]():   string(journal.Removed),
		reflect.TypeFor[provenance.Digest](): strings.Repeat("9f", 32),
	}
}

func filled[T any](text string) *T {
	v := new(T)
	fill(reflect.ValueOf(v).Elem(), text)
	return v
}

// records are the values that commands print, with the schemas that they follow.
func records(text string) map[string]any {
	r := filled[proof.Result](text)
	r.Command = "unload"
	return map[string]any{
		"action":   filledAction(text),
		"origin":   filled[provenance.Origin](text),
		"cause":    filledCause(text),
		"verdict":  filled[cause.Verdict](text),
		"meaning":  cause.Codes()[0],
		"event":    filled[tracer.Event](text),
		"coverage": filled[tracer.Coverage](text),
		"result":   r,
		"doctor":   filled[report](text),
		"refs":     filled[refsRecord](text),
		"reload":   filledReload(text),
		"build":    filled[buildRecord](text),

		"record":       filledRecord(text),
		"first":        filled[firstSeen](text),
		"loaded":       filledLoaded(text),
		"anchor":       filled[anchorJSON](text),
		"verification": filled[verification](text),
		"trial":        filledTrial(text),
	}
}

// TestSchemasKnowEveryField: a record with every field set follows its schema,
// and has every property that the schema knows.
func TestSchemasKnowEveryField(t *testing.T) {
	for name, record := range records("x") {
		t.Run(name, func(t *testing.T) {
			text, err := jsonLine(record)
			if err != nil {
				t.Fatal(err)
			}
			if err := validateText(name, text); err != nil {
				t.Errorf("%v\n%s", err, text)
			}
			var value any
			if err := json.Unmarshal(text, &value); err != nil {
				t.Fatal(err)
			}
			for _, missing := range unused(loadSchema(t, name), loadSchema(t, name), value, name) {
				t.Errorf("the schema has %s, and no record does", missing)
			}
		})
	}
}

// TestSchemasDescribe: every property says what it means.
func TestSchemasDescribe(t *testing.T) {
	for name := range records("x") {
		for _, where := range undescribed(loadSchema(t, name), name) {
			t.Errorf("%s has no description", where)
		}
	}
}

// TestSchemasAreClosed: a property that nobody described is no valid record.
func TestSchemasAreClosed(t *testing.T) {
	for name, record := range records("x") {
		text, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		text = append([]byte(`{"surprise":1,`), text[1:]...)
		if err := validateText(name, text); err == nil {
			t.Errorf("%s: a record with a property too many is valid", name)
		}
	}
}

func loadSchema(t *testing.T, name string) map[string]any {
	t.Helper()
	text, err := fs.ReadFile(schema.Files(), name+".schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var node map[string]any
	if err := json.Unmarshal(text, &node); err != nil {
		t.Fatal(err)
	}
	return node
}

// unused gives the properties of a schema that value lacks. References into other
// files are left to the tests of those.
func unused(root, node map[string]any, value any, where string) []string {
	ref, ok := node["$ref"].(string)
	if ok {
		name, local := strings.CutPrefix(ref, "#/$defs/")
		if !local {
			return nil
		}
		node = root["$defs"].(map[string]any)[name].(map[string]any)
	}
	var missing []string
	switch value := value.(type) {
	case map[string]any:
		properties, _ := node["properties"].(map[string]any)
		for name, property := range properties {
			inner, ok := value[name]
			if endless := ref != "" && property.(map[string]any)["$ref"] == ref; endless && !ok {
				continue
			}
			if !ok {
				missing = append(missing, where+"."+name)
				continue
			}
			missing = append(missing, unused(root, property.(map[string]any), inner, where+"."+name)...)
		}
	case []any:
		items, _ := node["items"].(map[string]any)
		for _, inner := range value {
			missing = append(missing, unused(root, items, inner, where+"[]")...)
		}
	}
	return missing
}

func undescribed(node map[string]any, where string) []string {
	var found []string
	for _, key := range []string{"properties", "$defs"} {
		members, _ := node[key].(map[string]any)
		for name, member := range members {
			member := member.(map[string]any)
			if text, _ := member["description"].(string); text == "" {
				found = append(found, fmt.Sprintf("%s.%s", where, name))
			}
			found = append(found, undescribed(member, where+"."+name)...)
		}
	}
	if items, ok := node["items"].(map[string]any); ok {
		found = append(found, undescribed(items, where+"[]")...)
	}
	return found
}
