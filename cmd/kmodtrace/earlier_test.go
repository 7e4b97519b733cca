package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/jsonline"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestVersion0: what a release printed before JSON had a version follows the schemas of today
// once it is upgraded, and nothing of it is lost on the way through the types of today.
func TestVersion0(t *testing.T) {
	for name, of := range map[string]struct {
		schema string
		into   func() any
	}{
		"events.jsonl":  {"event", func() any { return new(tracer.Event) }},
		"watch.jsonl":   {"action", func() any { return new(record.Record) }},
		"load.json":     {"result", func() any { return new(proof.Result) }},
		"unload.json":   {"result", func() any { return new(proof.Result) }},
		"records.jsonl": {"record", func() any { return new(journal.Document) }},
	} {
		text, err := os.ReadFile(filepath.Join("testdata", "version0", name))
		if err != nil {
			t.Fatal(err)
		}
		lines := 0
		for old := range bytes.Lines(text) {
			lines++
			line, err := jsonline.Upgrade(bytes.TrimSpace(old))
			if err != nil {
				t.Fatal(err)
			}
			if err := validateText(of.schema, line); err != nil {
				t.Errorf("%s: %v\n%s", name, err, line)
			}
			v := of.into()
			if err := json.Unmarshal(line, v); err != nil {
				t.Errorf("%s: %v\n%s", name, err, line)
				continue
			}
			again, err := jsonline.Marshal(v)
			if err != nil || !reflect.DeepEqual(decoded(t, again), decoded(t, line)) {
				t.Errorf("%s: it was\n%s\nand is\n%s, %v", name, line, again, err)
			}
		}
		if lines == 0 {
			t.Errorf("%s is empty", name)
		}
	}
}

// decoded is a JSON value, with its numbers to the last digit.
func decoded(t *testing.T, text []byte) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}
