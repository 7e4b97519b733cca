package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/calls"
	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/docs/schema"
	"github.com/kmodtrace/kmodtrace/fleet"
	"github.com/kmodtrace/kmodtrace/holders"
	"github.com/kmodtrace/kmodtrace/internal/doctor"
	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/kmodtrace/kmodtrace/internal/inside"
	"github.com/kmodtrace/kmodtrace/internal/jsonline"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/sample"
	"github.com/kmodtrace/kmodtrace/internal/scan"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/internal/trial"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/output"
	"github.com/kmodtrace/kmodtrace/presence"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/provenance"
	"github.com/kmodtrace/kmodtrace/reload"
	"github.com/kmodtrace/kmodtrace/rule"
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
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return validateValue(name, value)
}

// validateValue checks a value that a command prints, which names the version of its schema.
func validateValue(name string, value any) error {
	compiled, err := compileSchema(name)
	if err != nil {
		return err
	}
	objects, ok := value.([]any)
	if !ok {
		objects = []any{value}
	}
	for _, object := range objects {
		if object, ok := object.(map[string]any); !ok || fmt.Sprint(object["schema"]) != fmt.Sprint(jsonline.Version) {
			return fmt.Errorf("it does not name version %d of its schema: %.80v", jsonline.Version, object)
		}
	}
	return compiled.Validate(value)
}

// parts are the schemas of what is only ever a part of another object, which names the version.
var parts = []string{"cause", "origin", "coverage", "calls"}

// encoded is a value as commands print it.
func encoded(name string, value any) ([]byte, error) {
	if slices.Contains(parts, name) {
		return json.Marshal(value)
	}
	return term.JSONLine(value)
}

func validateEncoded(name string, text []byte) error {
	if !slices.Contains(parts, name) {
		return validateText(name, text)
	}
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

// filledRecord has all that one record never has at once.
func filledRecord(text string) *output.Line {
	r := sample.New[output.Line](text)
	r.Host.ID, r.Chain.Class = strings.Repeat("9f", 16), journal.ClassKept
	var err error
	if r.Action, err = jsonline.Marshal(sample.Action(text)); err != nil {
		panic(err)
	}
	if r.Finding, err = jsonline.Marshal(filledFinding(text)); err != nil {
		panic(err)
	}
	module := sample.New[kmod.Module](text)
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
	r := sample.New[trial.Report](text)
	r.Verdict, r.Faults[0].Kind, r.Faults[0].Step, r.Messages[0].Step = trial.Leaking, trial.Oops, trial.StepLoad, trial.StepLoad
	return r
}

func filledLoaded(text string) *history.Loaded {
	l := sample.New[history.Loaded](text)
	l.Modules[0].Kind = journal.KindPresent
	return l
}

func filledRule(text string) *rule.Rule {
	r := sample.New[rule.Rule](text)
	r.Severity = rule.High
	return r
}

func filledFinding(text string) *rule.Finding {
	f := sample.New[rule.Finding](text)
	f.Severity = rule.High
	return f
}

// filledCalls has all that one call never has at once.
func filledCalls(text string) *calls.Report {
	r := sample.New[calls.Report](text)
	all := []*calls.Call{r.Threads[0].Calls[0], &r.Path[0].Call, &r.Swallowed[0][0].Call, &r.Open[0].Call}
	for _, c := range all {
		c.Value = "0x1"
	}
	return r
}

func filledReload(text string) *reload.Result {
	r := sample.New[reload.Result](text)
	r.Command, r.Unload.Command, r.Load.Command, r.Restore.Command = "reload", "unload", "load", "load"
	r.Unload.Calls, r.Load.Calls, r.Restore.Calls = filledCalls(text), filledCalls(text), filledCalls(text)
	return r
}

func init() {
	sample.Words[reflect.TypeFor[doctor.Have]()] = string(doctor.Unknown)
	sample.Words[reflect.TypeFor[render.BuildVerdict]()] = string(render.NotBuilt)
	sample.Words[reflect.TypeFor[presence.Source]()] = string(presence.List)
}

// records are the values that commands print, with the schemas that they follow.
func records(text string) map[string]any {
	r := sample.New[proof.Result](text)
	r.Command, r.Calls = "unload", filledCalls(text)
	return map[string]any{
		"action":   sample.Action(text),
		"origin":   sample.New[provenance.Origin](text),
		"cause":    sample.Cause(text),
		"verdict":  sample.New[cause.Verdict](text),
		"meaning":  cause.Codes()[0],
		"event":    sample.New[tracer.Event](text),
		"coverage": sample.New[tracer.Coverage](text),
		"result":   r,
		"doctor":   sample.New[doctor.Report](text),
		"refs":     sample.New[holders.Report](text),
		"reload":   filledReload(text),
		"build":    sample.New[render.Build](text),

		"record":       filledRecord(text),
		"first":        sample.New[history.FirstSeen](text),
		"loaded":       filledLoaded(text),
		"anchor":       sample.New[history.AnchorJSON](text),
		"verification": sample.New[history.Verification](text),
		"trial":        filledTrial(text),
		"rule":         filledRule(text),
		"finding":      filledFinding(text),
		"scan":         sample.New[scan.Report](text),

		"fleet-verification": sample.New[fleet.Report](text),
		"fleet-sighting":     sample.New[fleet.Sighting](text),
		"fleet-first":        sample.New[fleet.First](text),
		"fleet-loaded":       sample.New[fleet.Loaded](text),
		"fleet-drift":        sample.New[fleet.Drift](text),
		"calls":              filledCalls(text),
		"trace":              &inside.Trace{Action: sample.Action(text), Calls: filledCalls(text)},
	}
}

// TestSchemasKnowEveryField: a record with every field set follows its schema,
// and has every property that the schema knows.
func TestSchemasKnowEveryField(t *testing.T) {
	for name, record := range records("x") {
		t.Run(name, func(t *testing.T) {
			text, err := encoded(name, record)
			if err != nil {
				t.Fatal(err)
			}
			if err := validateEncoded(name, text); err != nil {
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

// TestSchemasAreClosed: a property that nobody described is not a valid record.
func TestSchemasAreClosed(t *testing.T) {
	for name, record := range records("x") {
		text, err := encoded(name, record)
		if err != nil {
			t.Fatal(err)
		}
		text = append([]byte(`{"surprise":1,`), text[1:]...)
		if err := validateEncoded(name, text); err == nil {
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
			again := property.(map[string]any)
			if items, ok := again["items"].(map[string]any); ok {
				again = items
			}
			if endless := ref != "" && again["$ref"] == ref; endless && !ok {
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
