package service

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/internal/jsonline"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/output"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/rule"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// ruleFile has one rule that finds each load of a module whose name begins so, and one that remembers.
func ruleFile(t *testing.T, dir, prefix string) string {
	t.Helper()
	path := filepath.Join(dir, "own.yaml")
	text := fmt.Sprintf(`rules:
  - id: own-name
    version: 1
    severity: high
    title: A name
    when: record.action == "load" && record.module.startsWith(%[1]q)
    says: "{record.module} is loaded"
    attack: [T1547.006]
    tests:
      match: [{name: it, records: [{action: load, module: %[1]sx}]}]
      miss: [{name: another, records: [{action: load, module: other}]}]
  - id: own-first
    version: 1
    severity: low
    title: Seen first
    when: first_seen(record.module)
    says: "{record.module} is new"
    tests:
      match: [{name: new, records: [{action: load, module: a}]}]
      miss: [{name: again, records: [{action: load, module: a}, {action: load, module: a}]}]
`, prefix)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// rulesOnly are those of a file, and none that is built in.
func rulesOnly(t *testing.T, path string) RulesConfig {
	t.Helper()
	own, err := rule.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	c := RulesConfig{Paths: []string{path}}
	for _, r := range own.Rules() {
		c.Off = append(c.Off, r.ID)
	}
	return c
}

// loads records loads of modules, a second apart.
func (s *Service) loads(t *testing.T, from int, modules ...string) {
	t.Helper()
	for i, m := range modules {
		var a record.Record
		a.Kind, a.Module, a.Outcome, a.ID = tracer.Load, m, tracer.Live, tracer.ID(from+i)
		a.Start = time.Duration(from+i) * time.Second
		a.Time = time.Date(2026, 3, 1, 14, 0, from+i, 1234, time.UTC)
		r, err := s.recorder.action(&a)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.journal.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	s.wake()
}

// found gives the bodies of the journal's findings, oldest first.
func (s *Service) found(t *testing.T) (bodies []string) {
	t.Helper()
	for r, err := range s.journal.Query(t.Context(), journal.Filter{Kinds: []journal.Kind{journal.KindFinding}, OldestFirst: true}) {
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, string(r.Body))
	}
	return bodies
}

// replayed are the findings of all records, as rules test --journal has them.
func (s *Service) replayed(t *testing.T, rules *rule.Set) (bodies []string) {
	t.Helper()
	f := rules.Begin()
	for r, err := range s.journal.Query(t.Context(), journal.Filter{Kinds: []journal.Kind{journal.KindAction}, OldestFirst: true}) {
		if err != nil {
			t.Fatal(err)
		}
		a, err := record.Parse(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		a.Time = r.Time.Local()
		found, _ := f.Add(a)
		for i := range found {
			found[i].Record = r.ID
			body, err := jsonline.Marshal(&found[i])
			if err != nil {
				t.Fatal(err)
			}
			bodies = append(bodies, string(body))
		}
	}
	return bodies
}

func (s *Service) begins(t *testing.T, rules RulesConfig) {
	t.Helper()
	size, err := s.journal.Size(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.useRules(t.Context(), rules, size.Last); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stopFinding)
}

func (s *Service) waitFound(t *testing.T, n int) []string {
	t.Helper()
	await.Until(t, fmt.Sprintf("%d findings", n), func() bool { return len(s.found(t)) >= n })
	return s.found(t)
}

func (s *Service) metricsText(t *testing.T) string {
	t.Helper()
	w := httptest.NewRecorder()
	s.metrics.handler("unix").ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	return w.Body.String()
}

// TestFindings: what the rules find is recorded, once, with the action in which it was found, and is what a
// replay of the journal finds; the records from before the rules were there are remembered.
func TestFindings(t *testing.T) {
	s := withJournal(t)
	rules := rulesOnly(t, ruleFile(t, t.TempDir(), "evil"))
	s.loads(t, 1, "old") // what was there before
	s.begins(t, rules)
	s.loads(t, 10, "old", "evil1", "fine", "evil1", "evil2")
	s.waitFound(t, 5)
	s.stopFinding()
	set, err := rules.Load()
	if err != nil {
		t.Fatal(err)
	}
	all := s.replayed(t, set)
	if got := s.found(t); !slices.Equal(got, all[1:]) { // the first is of what was there before
		t.Errorf("live\n%s\nreplayed\n%s", strings.Join(got, "\n"), strings.Join(all, "\n"))
	}
	r, err := s.journal.Get(t.Context(), "01234567-11-0-own-name")
	if err != nil || r.Module != "evil1" || r.Kind != journal.KindFinding {
		t.Fatalf("%+v, %v", r, err)
	}
	e := entryWith(t.Context(), s.journal, r)
	if e.Known == nil || e.Known.Module != "evil1" || e.Finding == nil || e.Finding.Rule != "own-name" || e.Text != "evil1 is loaded" {
		t.Errorf("%+v", e)
	}
	if text := s.metricsText(t); !strings.Contains(text, `kmodtrace_findings_total{rule="own-name",severity="high"} 2`) {
		t.Errorf("%s", text)
	}
	report, err := s.journal.Verify(t.Context())
	if err != nil || len(report.Problems) > 0 {
		t.Errorf("%+v, %v", report, err)
	}

	// Killed before its place was written: what was found is found again, and is there once.
	if err := s.journal.SetCursor(t.Context(), findingsName, 2); err != nil {
		t.Fatal(err)
	}
	before := s.found(t)
	s.begins(t, rules)
	s.loads(t, 20, "evil3")
	if got := s.waitFound(t, len(before)+2); !slices.Equal(got[:len(before)], before) || len(got) != len(before)+2 {
		t.Errorf("%d findings, and %d after a restart", len(before), len(got))
	}
}

// TestFindingsReload: rules that cannot be used leave those in use, and the service is not healthy; others take
// their place with what they would remember.
func TestFindingsReload(t *testing.T) {
	var log said
	logger := zerolog.New(&log)
	s := withJournalIn(t, t.TempDir(), &logger)
	dir := t.TempDir()
	path := ruleFile(t, dir, "evil")
	rules := rulesOnly(t, path)
	s.begins(t, rules)
	s.loads(t, 1, "evil1")
	s.waitFound(t, 2)

	if err := os.WriteFile(path, []byte("rules:\n  - id: own-name\n    when: record.modul\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.begins(t, rules)
	if err := s.metrics.unhealthy(); err == nil || !strings.Contains(err.Error(), "own.yaml, line 2") {
		t.Errorf("healthy: %v", err)
	}
	if len(log.with("the rules stay as they were")) != 1 {
		t.Error("nothing is said of the broken rules")
	}
	s.loads(t, 2, "evil2")
	s.waitFound(t, 4)

	ruleFile(t, dir, "bad")
	s.begins(t, rules)
	if err := s.metrics.unhealthy(); err != nil {
		t.Errorf("not healthy: %v", err)
	}
	s.loads(t, 3, "evil1", "bad1")
	got := s.waitFound(t, 6)
	if len(got) != 6 || !strings.Contains(got[4], `"bad1 is loaded"`) || !strings.Contains(got[5], `"bad1 is new"`) {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}

// TestFindingsBroken: a service that starts with rules that cannot be used looks with those that are built in.
func TestFindingsBroken(t *testing.T) {
	var log said
	logger := zerolog.New(&log)
	s := withJournalIn(t, t.TempDir(), &logger)
	s.begins(t, RulesConfig{Paths: []string{filepath.Join(t.TempDir(), "none.yaml")}})
	if len(log.with("only the rules that are built in are used")) != 1 || s.metrics.unhealthy() == nil {
		t.Error("nothing is said of it")
	}
	var forced record.Record
	forced.Kind, forced.Module, forced.Outcome, forced.ID, forced.Time = tracer.Load, "m", tracer.Live, 5, time.Now()
	forced.Call = &tracer.Enter{Call: tracer.FinitModule, Flags: 1}
	r, err := s.recorder.action(&forced)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.journal.Append(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	s.wake()
	if got := s.waitFound(t, 1); !strings.Contains(strings.Join(got, ""), `"first-seen"`) {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}

// TestFindingsUnwritten: while findings cannot be recorded none is lost, and none is there twice then.
func TestFindingsUnwritten(t *testing.T) {
	s := withJournal(t)
	set, err := rulesOnly(t, ruleFile(t, t.TempDir(), "evil")).Load()
	if err != nil {
		t.Fatal(err)
	}
	s.loads(t, 1, "evil1", "evil2")
	f := &findings{service: s, rules: set, memory: set.Begin()}
	records, err := s.journal.ReadFrom(t.Context(), 1, 10)
	if err != nil {
		t.Fatal(err)
	}
	entries := make([]output.Entry, len(records))
	for i := range records {
		entries[i] = entryOf(&records[i])
	}
	s.keeper.wait(errors.New("no room"))
	for range 3 {
		if err := f.Send(t.Context(), entries); err == nil {
			t.Fatal("sent")
		}
	}
	s.keeper.wait(nil)
	for range 2 {
		if err := f.Send(context.Background(), entries); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.found(t); len(got) != 4 {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}
