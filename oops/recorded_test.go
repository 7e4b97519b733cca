package oops

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what is read of the recorded reports")

// recorded is what a kernel printed because of the specimen complain: scripts/record-reports.
type recorded struct {
	Name              string
	Kind              Kind
	At                string
	Messages, Console []string
}

func readRecorded(t *testing.T, path string) (all []recorded) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r recorded
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all = append(all, r)
	}
	return all
}

// TestRecorded reads what real kernels printed. What is made of it stands beside it, for a reader to
// judge; besides, each must be of its kind, whole, by a task, and leave nothing of its lines.
func TestRecorded(t *testing.T) {
	files, err := filepath.Glob("testdata/kernels/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("nothing is recorded: %v", err)
	}
	for _, file := range files {
		var read bytes.Buffer
		for _, r := range readRecorded(t, file) {
			checkRecorded(t, file, &r, Split(r.Messages), &read)
			if len(r.Console) > 0 {
				var lines []string
				for _, l := range r.Console {
					line, _ := Clean(l)
					lines = append(lines, line)
				}
				checkRecorded(t, file+" console", &r, Split(lines), new(bytes.Buffer))
			}
		}
		golden := strings.TrimSuffix(file, ".jsonl") + ".txt"
		if *update {
			if err := os.WriteFile(golden, read.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(golden); err != nil || !bytes.Equal(want, read.Bytes()) {
			t.Errorf("%s: %v: go test ./oops -update writes\n%s", golden, err, read.Bytes())
		}
	}
}

func checkRecorded(t *testing.T, file string, r *recorded, parts Parts, read *bytes.Buffer) {
	t.Helper()
	fmt.Fprintf(read, "%s\n", r.Name)
	if len(parts.Reports) == 0 && r.Kind != UBSAN { // not every kernel looks
		t.Errorf("%s %s: no report", file, r.Name)
	}
	for i := range parts.Reports {
		got := &parts.Reports[i]
		fmt.Fprintf(read, "  %s\n    %s\n", got.Summary(), got.CalledBy())
		if got.Kind != r.Kind || r.At != "" && got.Place.Function != r.At || got.Incomplete || got.Comm == "" || got.PID == 0 || got.CPU == nil {
			t.Errorf("%s %s: %+v", file, r.Name, got)
		}
		if r.Name != "jump/exit" && got.OfModule("") == nil {
			t.Errorf("%s %s: nothing of a module: %+v", file, r.Name, got)
		}
	}
	for _, m := range parts.Messages {
		fmt.Fprintf(read, "  %q\n", m.Text)
		own := strings.HasPrefix(m.Text, "complain: ") || strings.HasPrefix(m.Text, "kobject: ") || strings.HasPrefix(m.Text, "kobject_add_internal failed") || strings.HasPrefix(m.Text, "kobject_create_and_add: ")
		if !own && m.Text != "" {
			t.Errorf("%s %s: %q is left", file, r.Name, m.Text)
		}
	}
}
