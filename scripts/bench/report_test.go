package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func someReport(t *testing.T, all samples) report {
	t.Helper()
	var lines bytes.Buffer
	for _, s := range all {
		s.Kernel = "6.12.0-test"
		if err := json.NewEncoder(&lines).Encode(s); err != nil {
			t.Fatal(err)
		}
	}
	r, err := newReport(t.Context(), lines.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRatios: each round is compared with its own round without a tracer.
func TestRatios(t *testing.T) {
	r := someReport(t, samples{
		{Part: machinePart, Text: "1970-01-01, in a machine"},
		{Contender: baseline, Part: taxPart, Measure: "getppid", Round: 0, Value: 2},
		{Contender: "x", Part: taxPart, Measure: "getppid", Round: 0, Value: 3},
		{Contender: "x", Part: taxPart, Measure: "getppid", Round: 1, Value: 8},
		{Contender: baseline, Part: taxPart, Measure: "getppid", Round: 1, Value: 4},
		{Contender: "broken", Part: failedPart, Text: "not attached: why\nand more"},
	})
	text := r.text()
	for _, want := range []string{"1.75 (1.50–2.00)", "cannot run here: not attached: why", "6.12.0-test, 1970-01-01, in a machine"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "LATENCY") || strings.Contains(text, "and more") {
		t.Errorf("too much in\n%s", text)
	}
	for line := range strings.Lines(r.markdown()) {
		if strings.HasPrefix(line, "|") && strings.Count(line, "|") != 3 {
			t.Errorf("a row of another width: %s", line)
		}
	}
}

// TestToldLost: what a contender said that it lost stands beside what it did lose.
func TestToldLost(t *testing.T) {
	r := someReport(t, samples{
		{Part: machinePart, Text: "1970-01-01, in a machine"},
		{Contender: "open", Part: lossPart, Measure: "cycles lost", Value: 3},
		{Contender: "open", Part: lossPart, Measure: "cycles told", Value: 40},
		{Contender: "whole", Part: lossPart, Measure: "cycles lost", Value: 0},
		{Contender: "whole", Part: lossPart, Measure: "cycles told", Value: 0},
	})
	if text := r.text(); strings.Count(text, "said that it lost 40 events") != 1 || strings.Count(text, "said that it lost") != 1 {
		t.Errorf("not said once, for the one that said so:\n%s", text)
	}
}

func TestNoSamples(t *testing.T) {
	for _, lines := range []string{"", "{", "no JSON\n"} {
		if _, err := parseSamples([]byte(lines)); err == nil {
			t.Errorf("%q is taken for results", lines)
		}
	}
}

func TestSpread(t *testing.T) {
	for want, v := range map[string][]float64{none: nil, "1.00": {1}, "1.50 (1.00–2.00)": {2, 1}, "3.00 (1.00–9.00)": {9, 1, 3}} {
		if got := spread(v, "%.2f"); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
	if got := spread([]float64{1, 2, 3}, "%.1f ms"); got != "2.0 ms (1.0–3.0)" {
		t.Error(got)
	}
}

// TestPage: the results go between the marks, and what is around them stays.
func TestPage(t *testing.T) {
	r := someReport(t, samples{{Contender: "x", Part: commandPart, Text: "x --watch"}})
	page := filepath.Join(t.TempDir(), "page.md")
	for _, text := range []string{"no place\n", pageBegin + "no end\n"} {
		if err := os.WriteFile(page, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := putInto(page, []report{r}); err == nil {
			t.Errorf("%q has a place", text)
		}
	}
	if err := os.WriteFile(page, []byte("before\n"+pageBegin+"old\n"+pageEnd+"after\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := putInto(page, []report{r}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(got)
	if !strings.HasPrefix(text, "before\n") || !strings.HasSuffix(text, pageEnd+"after\n") || strings.Contains(text, "old") ||
		strings.Count(text, "x --watch") != 1 || strings.Count(text, "## Linux 6.12.0-test") != 1 {
		t.Errorf("the page is\n%s", text)
	}
}

// TestOptions: nothing is begun with arguments that mean nothing.
func TestOptions(t *testing.T) {
	for _, args := range [][]string{{}, {"--rounds", "0", "6.12"}, {"--less", "0", "6.12"}, {"--work", "nothing"}, {"--storm", "nothing"}, {"--nothing"}} {
		if err := run(t.Context(), args, &bytes.Buffer{}, &bytes.Buffer{}); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}
