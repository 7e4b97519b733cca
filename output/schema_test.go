package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// published are the fields of a schema's objects, by object and name; ECS has one object.
type published map[string]*publishedObject

type publishedObject struct {
	oneOf  []string
	fields map[string]publishedField
}

type publishedField struct {
	kind       string
	array      bool
	required   bool
	deprecated bool
	profile    string
	values     []string // none: any
}

// readPublished reads what testdata/fields writes: objects at the beginning of a line
// and their fields below, or fields only.
func readPublished(tb testing.TB, path, object string) published {
	tb.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	all := published{}
	at := &publishedObject{fields: map[string]publishedField{}}
	if object != "" {
		all[object] = at
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] == "#":
		case object == "" && !strings.HasPrefix(line, " "):
			at = &publishedObject{fields: map[string]publishedField{}}
			all[words[0]] = at
			if len(words) > 1 {
				at.oneOf = strings.Split(strings.TrimPrefix(words[1], "one-of="), ",")
			}
		default:
			f := publishedField{kind: strings.TrimSuffix(words[1], "[]"), array: strings.HasSuffix(words[1], "[]")}
			for _, w := range words[2:] {
				key, value, _ := strings.Cut(w, "=")
				switch key {
				case "required":
					f.required = true
				case "deprecated":
					f.deprecated = true
				case "profile":
					f.profile = value
				case "enum", "values":
					f.values = strings.Split(value, ",")
				default:
					tb.Fatalf("%s: %q", path, line)
				}
			}
			at.fields[words[0]] = f
		}
	}
	return all
}

// parse reads a line as receivers do, with whole numbers as they are.
func parse(line []byte) (map[string]any, error) {
	if !utf8.Valid(line) {
		return nil, fmt.Errorf("not UTF-8")
	}
	if n := bytes.IndexByte(line, '\n'); n != len(line)-1 {
		return nil, fmt.Errorf("a line's end at %d of %d bytes", n, len(line))
	}
	for _, c := range line[:len(line)-1] {
		if c < ' ' {
			return nil, fmt.Errorf("a control character, %#x", c)
		}
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	var v map[string]any
	return v, d.Decode(&v)
}

func integer(v any) bool {
	n, ok := v.(json.Number)
	if !ok {
		return false
	}
	_, err := n.Int64()
	return err == nil
}

func date(v any) bool {
	s, ok := v.(string)
	_, err := time.Parse(time.RFC3339Nano, s)
	return ok && err == nil
}

// checkOCSF gives what is wrong with an event.
func (p published) checkOCSF(event map[string]any) []string {
	class := "base_event"
	switch fmt.Sprint(event["class_uid"]) {
	case "1002":
		class = "kernel_extension_activity"
	case "2004":
		class = "detection_finding"
	}
	metadata, _ := event["metadata"].(map[string]any)
	profiles, _ := metadata["profiles"].([]any)
	wrong := p.object(class, class, event, profiles)
	number := func(name string) int64 { n, _ := event[name].(json.Number); i, _ := n.Int64(); return i }
	if number("type_uid") != number("class_uid")*100+number("activity_id") {
		wrong = append(wrong, "type_uid does not fit class and activity")
	}
	if metadata["version"] != ocsfVersion {
		wrong = append(wrong, "another version")
	}
	return wrong
}

func (p published) object(at, name string, v any, profiles []any) []string {
	fields, ok := v.(map[string]any)
	if !ok {
		return []string{at + " is not an object"}
	}
	o, ok := p[name]
	if !ok {
		return []string{at + ": the list of fields lacks objects of the type " + name}
	}
	var wrong []string
	for field, f := range o.fields {
		if _, there := fields[field]; !there && f.required && f.profile == "" {
			wrong = append(wrong, at+" lacks "+field)
		}
	}
	if len(o.oneOf) > 0 && !slices.ContainsFunc(o.oneOf, func(f string) bool { _, ok := fields[f]; return ok }) {
		wrong = append(wrong, fmt.Sprintf("%s lacks one of %v", at, o.oneOf))
	}
	for field, value := range fields {
		f, ok := o.fields[field]
		path := at + "." + field
		switch {
		case !ok:
			wrong = append(wrong, path+" is not published")
			continue
		case f.deprecated:
			wrong = append(wrong, path+" is deprecated")
		case f.profile != "" && !slices.Contains(profiles, any(f.profile)):
			wrong = append(wrong, path+" is of the profile "+f.profile)
		}
		values := []any{value}
		if f.array {
			if values, ok = value.([]any); !ok {
				wrong = append(wrong, path+" is not an array")
			}
		}
		for _, v := range values {
			wrong = append(wrong, p.value(path, f, v, profiles)...)
		}
		if id, isID := strings.CutSuffix(field, "_id"); isID && fmt.Sprint(value) == "99" && fields[map[bool]string{true: "activity_name", false: id}[field == "activity_id"]] == nil {
			wrong = append(wrong, path+" is other, and nothing says what")
		}
	}
	return wrong
}

func (p published) value(path string, f publishedField, v any, profiles []any) []string {
	ok := false
	switch f.kind {
	case "integer_t", "long_t", "timestamp_t":
		ok = integer(v)
	case "boolean_t":
		_, ok = v.(bool)
	case "object":
		_, ok = v.(map[string]any)
	case "json_t":
		ok = true // any value
	default:
		if !strings.HasSuffix(f.kind, "_t") {
			return p.object(path, f.kind, v, profiles)
		}
		_, ok = v.(string)
	}
	if !ok {
		return []string{fmt.Sprintf("%s: %.80v is no %s", path, v, f.kind)}
	}
	if len(f.values) > 0 && !slices.Contains(f.values, fmt.Sprint(v)) {
		return []string{fmt.Sprintf("%s: %v is none of %v", path, v, f.values)}
	}
	return nil
}

// checkECS gives what is wrong with a document.
func (p published) checkECS(doc map[string]any) []string {
	var wrong []string
	p.walk("", doc, func(path string, f publishedField, v any) {
		ok := false
		switch f.kind {
		case "":
			wrong = append(wrong, path+" is not published")
			return
		case "keyword", "wildcard", "match_only_text":
			_, ok = v.(string)
		case "long":
			ok = integer(v)
		case "date":
			ok = date(v)
		case "boolean":
			_, ok = v.(bool)
		}
		if !ok {
			wrong = append(wrong, fmt.Sprintf("%s: %.80v is no %s", path, v, f.kind))
		}
		if len(f.values) > 0 && !slices.Contains(f.values, fmt.Sprint(v)) {
			wrong = append(wrong, fmt.Sprintf("%s: %v is none of %v", path, v, f.values))
		}
	}, &wrong)
	event, _ := doc["event"].(map[string]any)
	for _, field := range []string{"kind", "action", "module", "dataset", "provider", "sequence", "severity"} {
		if event[field] == nil {
			wrong = append(wrong, "event lacks "+field)
		}
	}
	if doc["@timestamp"] == nil {
		wrong = append(wrong, "no @timestamp")
	}
	if ecs, _ := doc["ecs"].(map[string]any); ecs["version"] != ecsVersion {
		wrong = append(wrong, "another ecs.version")
	}
	// What the schema expects of this category, the list's last line.
	types := strings.Split(strings.TrimPrefix(p["ecs"].fields["driver"].kind, "types="), ",")
	if categories, _ := event["category"].([]any); slices.Contains(categories, any("driver")) {
		for _, t := range event["type"].([]any) {
			if !slices.Contains(types, t.(string)) {
				wrong = append(wrong, fmt.Sprintf("event.type: %v is none of %v", t, types))
			}
		}
	}
	return wrong
}

// walk goes to the leaves. Below kmodtrace is what the schema has no names for.
func (p published) walk(at string, v any, leaf func(string, publishedField, any), wrong *[]string) {
	if inner, ok := v.(map[string]any); ok {
		for name, v := range inner {
			path := strings.TrimPrefix(at+"."+name, ".")
			if path != "kmodtrace" {
				p.walk(path, v, leaf, wrong)
			}
		}
		return
	}
	f := p["ecs"].fields[at]
	values, isArray := v.([]any)
	if isArray != f.array {
		*wrong = append(*wrong, fmt.Sprintf("%s: array %v, want %v", at, isArray, f.array))
	}
	if !isArray {
		values = []any{v}
	}
	for _, v := range values {
		leaf(at, f, v)
	}
}

func oneLine(tb testing.TB, format string, e Entry) []byte {
	tb.Helper()
	h := host{name: "box", release: "6.12", machine: "x86_64", version: "v1", id: hostID(strings.Repeat("7", 32)), journal: "j"}
	all, err := h.lines(formats[format])([]Entry{e})
	if err != nil {
		tb.Fatal(err)
	}
	return all[0]
}

// TestPublishedFindsWrong: the check would find what it is for.
func TestPublishedFindsWrong(t *testing.T) {
	load := samples(t)["signed, of a package, in a container"]
	schema := map[string]published{"ocsf": readPublished(t, "testdata/ocsf.txt", ""), "ecs": readPublished(t, "testdata/ecs.txt", "ecs")}
	for i, c := range []struct{ format, path, value string }{
		{"ocsf", "driver.file.nmae", `"x"`},
		{"ocsf", "driver.file.name", ``},
		{"ocsf", "driver.file.size", `"8"`},
		{"ocsf", "driver.file.signature", `{"algorithm_id": 0}`},
		{"ocsf", "driver.file.type_id", `42`},
		{"ocsf", "actor.process.parent_process.pid", `1.5`},
		{"ocsf", "actor", ``},
		{"ocsf", "metadata.profiles", `[]`},
		{"ocsf", "class_uid", `1003`},
		{"ocsf", "type_uid", `100299`},
		{"ocsf", "activity_id", `3`},
		{"ocsf", "cloud", `{}`},
		{"ecs", "file.nmae", `"x"`},
		{"ecs", "event.outcome", `"fine"`},
		{"ecs", "event.category", `"driver"`},
		{"ecs", "event.type", `["creation"]`},
		{"ecs", "event.sequence", `"1"`},
		{"ecs", "event.start", `"yesterday"`},
		{"ecs", "user.id", `0`},
		{"ecs", "ecs.version", ``},
		{"ecs", "kmod", `"x"`},
	} {
		doc, err := parse(oneLine(t, c.format, testEntry(t, 1, load, "")))
		if err != nil {
			t.Fatal(err)
		}
		at := doc
		names := strings.Split(c.path, ".")
		for _, name := range names[:len(names)-1] {
			at = at[name].(map[string]any)
		}
		if c.value == "" {
			delete(at, names[len(names)-1])
		} else {
			var v any
			d := json.NewDecoder(strings.NewReader(c.value))
			d.UseNumber()
			if err := d.Decode(&v); err != nil {
				t.Fatal(err)
			}
			at[names[len(names)-1]] = v
		}
		wrong := schema[c.format].checkECS
		if c.format == "ocsf" {
			wrong = schema[c.format].checkOCSF
		}
		if len(wrong(doc)) == 0 {
			t.Errorf("%d: %s %s: nothing is found wrong with %s", i, c.format, c.path, c.value)
		}
	}
}

// TestMapped: what an auditor asks for stands where the schemas have it.
func TestMapped(t *testing.T) {
	all := samples(t)
	for _, c := range []struct{ format, sample, path, want string }{
		{"ocsf", "failed", "activity_id", "1"},
		{"ocsf", "failed", "type_uid", "100201"},
		{"ocsf", "failed", "status_id", "2"},
		{"ocsf", "failed", "status_code", "ENOENT"},
		{"ocsf", "failed", "status_detail", "wants bar_register, which no loaded module exports"},
		{"ocsf", "failed", "unmapped.cause.code", "symbol-missing"},
		{"ocsf", "failed", "actor.process.name", "insmod"},
		{"ocsf", "failed", "actor.process.parent_process.name", "tracer.test"},
		{"ocsf", "request", "type_uid", "100299"},
		{"ocsf", "request", "activity_name", "request"},
		{"ocsf", "asked for from a container", "actor.user.name", "bob"},
		{"ocsf", "asked for from a container", "actor.user.uid", "1000"},
		{"ocsf", "asked for from a container", "actor.session.uid", "7"},
		{"ocsf", "signed, of a package, in a container", "actor.process.container.runtime", "containerd"},
		{"ocsf", "signed, of a package, in a container", "driver.file.hashes.0.value", strings.Repeat("0a", 32)},
		{"ocsf", "signed, of a package, in a container", "driver.file.signatures.0.state_id", "1"},
		{"ocsf", "signed, of a package, in a container", "driver.file.product.name", "linux-image"},
		{"ocsf", "memfd", "driver.file.is_deleted", "true"},
		{"ocsf", "zero", "status_id", "0"},
		{"ecs", "failed", "event.outcome", "failure"},
		{"ecs", "failed", "error.code", "ENOENT"},
		{"ecs", "failed", "error.type", "symbol-missing"},
		{"ecs", "failed", "event.type.0", "start"},
		{"ecs", "failed", "file.path", "/specimens/hello.ko"},
		{"ecs", "failed", "file.extension", "ko"},
		{"ecs", "failed", "process.parent.name", "tracer.test"},
		{"ecs", "request", "event.type.0", "info"},
		{"ecs", "asked for from a container", "user.name", "bob"},
		{"ecs", "asked for from a container", "container.runtime", "containerd"},
		{"ecs", "asked for from a container", "container.image.name", "registry.example/a:1"},
		{"ecs", "asked for from a container", "orchestrator.namespace", "shop"},
		{"ecs", "asked for from a container", "orchestrator.resource.name", "web-1"},
		{"ecs", "asked for from a container", "kmodtrace.requesters.1.user", "bob"},
		{"ecs", "signed, of a package, in a container", "file.hash.sha256", strings.Repeat("0a", 32)},
		{"ecs", "signed, of a package, in a container", "file.code_signature.trusted", "true"},
		{"ecs", "signed, of a package, in a container", "package.name", "linux-image"},
		{"ecs", "memfd", "kmodtrace.memfd", "true"},
		{"ecs", "memfd", "kmodtrace.call.size", "18446744073709551615"},
	} {
		doc, err := parse(oneLine(t, c.format, testEntry(t, 1, all[c.sample], "")))
		if err != nil {
			t.Fatal(err)
		}
		if got := look(doc, c.path); got != c.want {
			t.Errorf("%s, %s: %s is %q, want %q", c.format, c.sample, c.path, got, c.want)
		}
	}
}

func look(v any, path string) string {
	for name := range strings.SplitSeq(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			v = in[name]
		case []any:
			n, err := strconv.Atoi(name)
			if err != nil || n >= len(in) {
				return "nothing"
			}
			v = in[n]
		default:
			return "nothing"
		}
	}
	return fmt.Sprint(v)
}

// TestGaps: what is not an action is told from actions, and says what it is.
func TestGaps(t *testing.T) {
	e := word(9, "lost", `{"text":"lost 3 events"}`)
	for format, want := range map[string]map[string]string{
		"ocsf": {"class_uid": "0", "category_uid": "0", "type_uid": "99", "activity_name": "lost", "message": e.Text,
			"severity_id": "4", "metadata.uid": e.ID, "metadata.sequence": "9", "unmapped.record.text": "lost 3 events"},
		"ecs": {"event.kind": "event", "event.dataset": "kmodtrace.gap", "event.action": "lost", "event.id": e.ID, "message": e.Text,
			"event.category": "<nil>", "kmodtrace.record.text": "lost 3 events"},
		"json": {"kind": "lost", "id": e.ID, "note.text": "lost 3 events"},
	} {
		doc, err := parse(oneLine(t, format, e))
		if err != nil {
			t.Fatal(err)
		}
		for path, value := range want {
			if got := look(doc, path); got != value {
				t.Errorf("%s: %s is %q, want %q", format, path, got, value)
			}
		}
	}
}

// TestFinding: a finding is an alert, with the action in which it was found.
func TestFinding(t *testing.T) {
	e := findingEntry(t, 9, samples(t)["failed"], "hello has no signature")
	for format, want := range map[string]map[string]string{
		"ocsf": {"class_uid": "2004", "type_uid": "200401", "severity_id": "4", "is_alert": "true", "finding_info.uid": e.ID,
			"finding_info.analytic.uid": "untrusted-signer", "finding_info.attacks.0.technique.uid": "T1547", "finding_info.attacks.0.sub_technique.uid": "T1547.006",
			"evidences.0.data.subject": "hello", "evidences.0.file.path": "/specimens/hello.ko", "evidences.0.actor.process.name": "insmod", "unmapped.finding.severity": "high"},
		"ecs": {"event.kind": "alert", "event.dataset": "kmodtrace.finding", "event.action": "finding", "event.severity": "3", "rule.id": "untrusted-signer", "rule.version": "2",
			"threat.technique.id.0": "T1547", "threat.technique.subtechnique.id.0": "T1547.006", "file.path": "/specimens/hello.ko", "process.name": "insmod", "message": e.Text},
		"json": {"kind": "finding", "id": e.ID, "finding.rule": "untrusted-signer"},
	} {
		doc, err := parse(oneLine(t, format, e))
		if err != nil {
			t.Fatal(err)
		}
		for path, value := range want {
			if got := look(doc, path); got != value {
				t.Errorf("%s: %s is %q, want %q", format, path, got, value)
			}
		}
	}
}

// TestInventory: what an inventory found is a state.
func TestInventory(t *testing.T) {
	doc, _ := parse(oneLine(t, "ecs", word(1, "present", `{"module":{"name":"hello"}}`)))
	if look(doc, "event.kind") != "state" || look(doc, "kmodtrace.module") != "hello" {
		t.Errorf("%v", doc)
	}
}
