package render

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/record"
)

// recordedActions are the actions of a recording of a real kernel.
func recordedActions(b *testing.B) (actions []record.Record) {
	text, err := os.ReadFile("../../tracer/testdata/records/hello-newest.actions.jsonl")
	if err != nil {
		b.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var a record.Record
		if err := json.Unmarshal(line, &a); err != nil {
			b.Fatal(err)
		}
		actions = append(actions, a)
	}
	return actions
}

func BenchmarkRenderText(b *testing.B) {
	actions, table := recordedActions(b), NewActionTable(term.Theme{}, 100)
	b.ReportAllocs()
	for b.Loop() {
		for i := range actions {
			if table.Render(&actions[i]) == "" {
				b.Fatal("nothing")
			}
		}
	}
}

func BenchmarkRenderJSON(b *testing.B) {
	actions := recordedActions(b)
	b.ReportAllocs()
	for b.Loop() {
		for i := range actions {
			if _, err := term.JSONLine(&actions[i]); err != nil {
				b.Fatal(err)
			}
		}
	}
}
