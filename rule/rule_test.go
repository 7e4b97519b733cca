package rule

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kmodtrace/kmodtrace/record"
)

// TestBuiltin: the rules that are built in say what they find and what they do not, and it is so.
func TestBuiltin(t *testing.T) {
	set, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	failures, tests := set.Test()
	for _, f := range failures {
		t.Error(f)
	}
	if rules := len(set.Rules()); rules < 20 || tests < 2*rules-10 {
		t.Errorf("%d rules, %d tests", rules, tests)
	}
	for _, r := range set.Rules() {
		if r.Why == "" || r.Next == "" {
			t.Errorf("%s does not say why, or what to do next", r.ID)
		}
	}
}

// one gives a file with one rule, whose fields are changed.
func one(changes map[string]string) string {
	fields := map[string]string{
		"id": "r", "version": "1", "severity": "low", "title": "A title", "when": "true", "says": "it says",
		"tests": "{match: [{name: a, records: [{}]}], miss: [{name: b, records: [{}]}]}",
	}
	order := []string{"id", "version", "severity", "title", "when", "says", "subject", "attack", "evidence", "tests"}
	for name, value := range changes {
		fields[name] = value
		if !slices.Contains(order, name) {
			order = append(order, name)
		}
	}
	text := "rules:\n"
	lead := "  - "
	for _, name := range order {
		if fields[name] != "" {
			text += lead + name + ": " + fields[name] + "\n"
			lead = "    "
		}
	}
	return text
}

// TestWrongRules: what is wrong with a file is said, with its line and column, and nothing of it is used.
func TestWrongRules(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"empty":            {"", "f.yaml: it has no rules"},
		"no YAML":          {"rules: [", "f.yaml, line 1, column "},
		"not rules":        {"rules: 7\n", "f.yaml, line 1, column "},
		"unknown field":    {one(map[string]string{"colour": "red"}), `line 9, column 5: unknown field "colour"`},
		"no id":            {one(map[string]string{"id": `""`}), `f.yaml, line 2, column 9: "" is no id of a rule`},
		"bad id":           {one(map[string]string{"id": "../x"}), `line 2, column 9: "../x" is no id`},
		"severity":         {one(map[string]string{"severity": "huge"}), `line 4, column 15: r has the severity "huge"`},
		"no condition":     {one(map[string]string{"when": `" "`}), "line 6, column 11: r has no when"},
		"no tests":         {one(map[string]string{"tests": "{}"}), "r has no tests"},
		"test without":     {one(map[string]string{"tests": "{match: [{name: a}], miss: [{name: b, records: [{}]}]}"}), `a test "a" without a record`},
		"syntax":           {one(map[string]string{"when": "true &&"}), "f.yaml, line 6, column 18: Syntax error"},
		"no such field":    {one(map[string]string{"when": "record.modul == ''"}), "f.yaml, line 6, column 17: undefined field 'modul'"},
		"optional field":   {one(map[string]string{"when": `record.?origin.?sginer.orValue("") == ""`}), "undefined field 'sginer'"},
		"in quotes":        {one(map[string]string{"when": `"record.modul == ''"`}), "f.yaml, line 6, column 18: undefined field 'modul'"},
		"on lines":         {one(map[string]string{"when": "|\n      true &&\n      record.modul == ''"}), "f.yaml, line 8, column 13: undefined field 'modul'"},
		"type":             {one(map[string]string{"when": "record.module"}), "line 6, column 11: when is of type string: it must be bool"},
		"compared":         {one(map[string]string{"when": "record.module == 7"}), "found no matching overload for '_==_'"},
		"text":             {one(map[string]string{"says": "'{record.modul}'"}), "undefined field 'modul'"},
		"no text":          {one(map[string]string{"says": "'{record.crashed}'"}), "{record.crashed} is of type bool, which is no text"},
		"brace":            {one(map[string]string{"says": "'a { b'"}), "says has a { without a }"},
		"other brace":      {one(map[string]string{"says": "'a } b'"}), "says has a } without a {"},
		"subject":          {one(map[string]string{"subject": "record.crashed"}), "subject is of type bool: it must be string"},
		"evidence":         {one(map[string]string{"evidence": "[origin.sha25]"}), "undefined field 'sha25'"},
		"attack":           {one(map[string]string{"attack": "[1547]"}), `"1547" is no technique of ATT&CK`},
		"twice":            {one(nil) + strings.TrimPrefix(one(nil), "rules:\n"), "the rule r is there twice"},
		"no key":           {one(map[string]string{"when": "first_seen()"}), "first_seen needs a key"},
		"no key to count":  {one(map[string]string{"when": "count_since(duration('1m')) > 1"}), "count_since needs a key"},
		"a key of numbers": {one(map[string]string{"when": "first_seen(7)"}), "found no matching overload"},
		"its memory":       {one(map[string]string{"when": "@memory == @memory"}), "reserved character"},
		"too large":        {strings.Repeat("#", maxFile+1), "more than 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := Parse("f.yaml", []byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v; want %s", err, test.want)
			}
			if set != nil && err != nil && len(set.Rules()) > 1 {
				t.Errorf("%d rules", len(set.Rules()))
			}
		})
	}
}

func parsed(t *testing.T, text string) *Set {
	t.Helper()
	set, err := Parse("f.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func recordOf(t *testing.T, text string) *record.Record {
	t.Helper()
	r, err := record.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestAbsent: a field that a record does not have is neither true nor false.
func TestAbsent(t *testing.T) {
	const full = `{"action":"load","outcome":"live","module":"x","file":{"path":"/x.ko"},"details":{"signed":true},"for_request":"7"}`
	const bare = `{"action":"load","outcome":"live","module":"x"}`
	for _, test := range []struct {
		when       string
		full, bare bool
	}{
		{`record.details.signed`, true, false},
		{`!record.details.signed`, false, false},
		{`has(record.details) && !record.details.signed`, false, false},
		{`!has(record.details)`, false, true},
		{`record.file.path == "/x.ko"`, true, false},
		{`record.file.path != "/x.ko"`, false, false},
		{`has(record.file.path)`, true, false},
		{`record.?file.?path.orValue("") == ""`, false, true},
		{`has(record.origin)`, false, false},
		{`!record.origin.removable`, false, false},
		{`has(record.for_request)`, true, false},
		{`record.for_request == "7"`, true, false},
		{`record.crashed`, false, false},
		{`!record.crashed`, true, true}, // left out where it is false
		{`record.warnings.size() == 0`, true, true},
		{`has(record.warnings)`, false, false},
		{`has(record.responsible)`, false, false},
		{`record.responsible.uid == 0`, false, false},
		{`record.took_ns == duration("0s")`, true, true},
		{`record.module == "x" || record.details.signed`, true, true},
		{`record.details.signed || record.module == "x"`, true, true},
		{`who(record) == "somebody who is not known"`, true, true},
	} {
		set := parsed(t, one(map[string]string{"when": "|\n      " + test.when}))
		for text, want := range map[string]bool{full: test.full, bare: test.bare} {
			found, err := set.Begin().Add(recordOf(t, text))
			if err != nil || (len(found) == 1) != want {
				t.Errorf("%s of %s: %v, %v; want %t", test.when, text, found, err, want)
			}
		}
	}
}

// TestResponsible: of a load for a request, who made the request is asked, and not the helper.
func TestResponsible(t *testing.T) {
	const text = `{"action":"load","outcome":"live","module":"x","for_request":"7","actor":{"pid":9,"comm":"modprobe","uid":0},
		"requester":{"id":"7","request":{"name":"fs-x"},"actor":{"pid":8,"comm":"mount","uid":1000,"user":"alice","exe":{"path":"/usr/bin/mount"},
		"ancestors":[{"pid":7,"comm":"sh","exe":{"path":"/bin/dash"}},{"pid":1,"comm":"init"}]}}}`
	for when, want := range map[string]bool{
		`record.responsible.uid == 1000`:                     true,
		`record.actor.uid == 0`:                              true,
		`who(record) == "alice (mount, pid 8)"`:              true,
		`ancestor(record, "mount")`:                          true,
		`ancestor(record, "/usr/bin/mount")`:                 true,
		`ancestor(record, "/bin/mount")`:                     false,
		`ancestor(record, "dash")`:                           true,
		`ancestor(record, "sh")`:                             false, // what it calls itself is not its program
		`ancestor(record, "init")`:                           true,  // whose program is not known
		`ancestor(record, "modprobe")`:                       false,
		`record.responsible.ancestors.exists(a, a.pid == 1)`: true,
	} {
		found, err := parsed(t, one(map[string]string{"when": "|\n      " + when})).Begin().Add(recordOf(t, text))
		if err != nil || (len(found) == 1) != want {
			t.Errorf("%s: %v, %v; want %t", when, found, err, want)
		}
	}
}

// TestFinding: what a finding says comes from the record, also where that is hostile or lacks it.
func TestFinding(t *testing.T) {
	set := parsed(t, one(map[string]string{
		"when": "true", "says": `"{record.module} {{of}} {record.file.path}: {record.details.taints}, {record.took_ns}, {record.symbols}"`,
		"evidence": "[module, file.path, crashed, details.taints, origin]", "attack": "[T1547.006]",
	}))
	hostile := "x\u001b[31m\n{record.module}"
	text, _ := json.Marshal(map[string]any{
		"action": "load", "outcome": "live", "id": "5", "start_boottime_ns": "5", "module": hostile, "took_ns": 1500000000, "symbols": 3,
		"time": "2026-01-01T00:00:00Z", "details": map[string]any{"taints": []string{"proprietary", "staging"}},
	})
	found, err := set.Begin().Add(recordOf(t, string(text)))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	r := recordOf(t, string(text))
	want := Finding{
		Rule: "r", Version: 1, Severity: Low, Title: "A title", Text: hostile + " {of} (not known): proprietary, staging, 1.5s, 3", Subject: hostile,
		Time: r.Time, Action: r.Kind, Module: hostile, Outcome: r.Outcome, ID: 5, Start: 5, Attack: []string{"T1547.006"},
		Evidence: map[string]string{"module": hostile, "crashed": "false", "details.taints": "proprietary, staging"},
	}
	if diff := cmp.Diff(want, found[0]); diff != "" {
		t.Error(diff)
	}
}

// TestWindow: findings on one subject are counted for a while, whatever the clock does.
func TestWindow(t *testing.T) {
	set := parsed(t, one(nil))
	findings := set.Begin()
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, step := range []struct {
		after  time.Duration
		module string
		want   int // findings before it that were not given; -1 for none given
	}{
		{0, "x", 0},
		{time.Second, "x", -1},
		{2 * time.Second, "y", 0},
		{Window - 1, "x", -1},
		{Window, "x", 2},
		{Window + 1, "x", -1},
		{-Window, "x", 1}, // the clock was set back
		{-Window + 1, "x", -1},
	} {
		r := recordOf(t, `{"action":"load","outcome":"live"}`)
		r.Module, r.Time = step.module, begin.Add(step.after)
		found, err := findings.Add(r)
		switch {
		case err != nil, step.want < 0 && len(found) > 0, step.want >= 0 && (len(found) != 1 || found[0].Before != step.want):
			t.Errorf("step %d: %v, %v", i, found, err)
		}
	}
	r := recordOf(t, `{"action":"load","outcome":"pending","module":"z","preliminary":true}`)
	if found, err := findings.Add(r); len(found) > 0 || err != nil {
		t.Errorf("of what comes again: %v, %v", found, err)
	}
}

// TestMemory: each rule remembers for itself, and no more than its bound.
func TestMemory(t *testing.T) {
	set := parsed(t, one(map[string]string{"when": `first_seen(record.module, "a")`, "subject": `"'one'"`})+
		strings.TrimPrefix(one(map[string]string{"id": "s", "when": `first_seen(record.module, "a")`}), "rules:\n"))
	findings := set.Begin()
	count := func(module string) int {
		r := recordOf(t, `{"action":"load","outcome":"live"}`)
		r.Module = module
		found, err := findings.Add(r)
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	if first, second := count("x"), count("x"); first != 2 || second != 0 {
		t.Errorf("%d, then %d", first, second)
	}
	for i := range maxKeys + 10 {
		count(fmt.Sprint(i))
	}
	m := findings.memory[1]
	if len(m.seen) != maxKeys || !m.full || len(findings.given) > maxSubjects {
		t.Errorf("%d keys, full: %t, %d subjects", len(m.seen), m.full, len(findings.given))
	}
	if (&moment{memory: m}).first("new") {
		t.Error("something is new to a rule that remembers no more")
	}
	counts := &moment{memory: &memory{counts: make(map[string][]time.Duration)}}
	for range 3 * maxCounts {
		counts.now++
		counts.count(time.Hour, "x")
	}
	if n := counts.count(time.Hour, "x"); n != maxCounts {
		t.Errorf("%d records of one key", n)
	}
}

// TestCost: a rule that takes too much is stopped, and the others go on.
func TestCost(t *testing.T) {
	set := parsed(t, one(map[string]string{"when": `|
      record.messages.all(a, record.messages.all(b, record.messages.all(c, a != b + c)))`})+
		strings.TrimPrefix(one(map[string]string{"id": "s"}), "rules:\n"))
	findings := set.Begin()
	r := recordOf(t, `{"action":"load","outcome":"live","module":"x"}`)
	for range 500 {
		r.Messages = append(r.Messages, "some text")
	}
	found, err := findings.Add(r)
	if err == nil || !strings.Contains(err.Error(), "rule r: it takes too much") || len(found) != 1 || found[0].Rule != "s" {
		t.Errorf("%v, %v", found, err)
	}
	r.Module = "y"
	if found, err := findings.Add(r); err != nil || len(found) != 1 {
		t.Errorf("after that: %v, %v", found, err)
	}
}

// TestReplay: what was written as JSON gives the same findings, to the byte.
func TestReplay(t *testing.T) {
	set, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	live, replayed := set.Begin(), set.Begin()
	var lines [2]strings.Builder
	for _, p := range set.rules {
		for _, c := range p.Tests.Match {
			for _, text := range c.Records {
				r := recordOf(t, string(text))
				line, err := json.Marshal(r)
				if err != nil {
					t.Fatal(err)
				}
				for i, f := range []*Findings{live, replayed} {
					found, err := f.Add([]*record.Record{r, recordOf(t, string(line))}[i])
					if err != nil {
						t.Fatal(err)
					}
					text, _ := json.Marshal(found)
					lines[i].Write(text)
				}
			}
		}
	}
	if lines[0].String() != lines[1].String() || lines[0].Len() < 1000 {
		t.Errorf("live:\n%s\nreplayed:\n%s", &lines[0], &lines[1])
	}
}

// TestGuard: what a condition's guard does not let pass, the condition does not hold of: for each rule that is built in and each
// record of all their tests; and where it is the whole condition, that holds of what it lets pass. It lets pass little of what a
// rule is not about.
func TestGuard(t *testing.T) {
	set, err := Load("../examples/rules/public.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var records []*record.Record
	for _, p := range set.rules {
		for _, c := range slices.Concat(p.Tests.Match, p.Tests.Miss) {
			for _, text := range c.Records {
				records = append(records, recordOf(t, string(text)))
			}
		}
	}
	kept, passed, whole := 0, 0, 0
	for _, p := range set.rules {
		if p.Check {
			continue
		}
		for _, r := range records {
			read := &fields{of: p.fields.record}
			read.begin(r)
			pass := p.guard.pass(read)
			if pass {
				passed++
			} else {
				kept++
			}
			m := &memory{seen: make(map[string]bool), counts: make(map[string][]time.Duration)}
			switch holds, _ := p.evaluate(&variables{r, &moment{m, 0, set.watch}}); {
			case !pass && (holds || len(m.seen)+len(m.counts) > 0):
				t.Errorf("%s holds of %+v, or remembers it, and the guard does not let it pass: %+v", p.ID, r, p.guard)
			case pass && p.guardAll && !holds:
				t.Errorf("%s does not hold of %+v, and the guard lets it pass: %+v", p.ID, r, p.guard)
			}
		}
		if p.guardAll {
			whole++
		}
	}
	if t.Logf("%d are kept back, %d pass; %d guards are the whole condition", kept, passed, whole); kept < passed || whole < len(set.rules)/2 {
		t.Errorf("%d are kept back, %d pass; %d of %d guards are the whole condition", kept, passed, whole, len(set.rules))
	}
	for when, want := range map[string]int{
		`record.action == "load" && first_seen(record.module) && record.outcome == "live"`:                                1,
		`record.file.path == "x" && first_seen(record.module)`:                                                            0,
		`record.action == "load" || record.outcome == "live"`:                                                             1,
		`record.action == "load" || record.module == record.file.path`:                                                    0,
		`(record.action == "load" || record.crashed) && first_seen(record.module)`:                                        0,
		`(record.action == "load" || record.outcome == "live" && record.action == "unload") && first_seen(record.module)`: 1,
		`"x" in record.details.taints && record.file.path.matches("^/x")`:                                                 2,
		`record.file.path.matches("(")`:                                                                                   0,
		`record.kernel_reports.exists(r, r.kind == "oops") && !record.kernel_reports.all(r, r.kind == "oops")`:            1,
		`!record.file.memfd && record.outcome != "failed" && record.action in ["load"]`:                                   3,
		`has(record.file) && has(record.origin.package) && record.module.startsWith("x")`:                                 2,
		`!has(record.file) && record.module == record.file.path`:                                                          1,
		`record.?file.?path.orValue("") == "x" && ["x"].exists(m, m == record.module)`:                                    0,
	} {
		c, err := newCompiler()
		if err != nil {
			t.Fatal(err)
		}
		tree, issues := c.env.Compile(when)
		if issues.Err() != nil {
			t.Fatal(issues.Err())
		}
		if g, _ := c.fields.guardOf(tree); len(g) != want {
			t.Errorf("%s: %+v, want %d demands", when, g, want)
		}
	}
}

// BenchmarkFindings is what all rules that are built in take of one record.
func BenchmarkFindings(b *testing.B) {
	set, err := Builtin()
	if err != nil {
		b.Fatal(err)
	}
	for name, text := range map[string]string{
		"of a package": `{"action":"load","outcome":"live","module":"x","details":{"signed":true,"taints":[]},
			"file":{"path":"/lib/modules/6.12/kernel/x.ko"},"origin":{"state":"same","in_tree":true,"signer":"Debian"},
			"actor":{"pid":9,"comm":"modprobe","exe":{"path":"/usr/bin/kmod"},"namespaces":{"pid":{"initial":true}}}}`,
		"unsigned": `{"action":"load","outcome":"live","module":"x","details":{"signed":false,"taints":["unsigned","out-of-tree"]},
			"file":{"path":"/root/x.ko"},"origin":{"state":"same"},
			"actor":{"pid":9,"comm":"insmod","exe":{"path":"/usr/bin/kmod"},"namespaces":{"pid":{"initial":true}}}}`,
		"unload": `{"action":"unload","outcome":"unloaded","module":"x",
			"actor":{"pid":9,"comm":"rmmod","exe":{"path":"/usr/bin/kmod"},"namespaces":{"pid":{"initial":true}}}}`,
	} {
		b.Run(name, func(b *testing.B) {
			r, err := record.Parse([]byte(text))
			if err != nil {
				b.Fatal(err)
			}
			findings := set.Begin()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := findings.Add(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestWatchList: an entry of a file comes before one that is built in, holds until its day, and can be alone in its file; one
// that is wrong is an error.
func TestWatchList(t *testing.T) {
	dir := t.TempDir()
	file := func(text string) string {
		path := filepath.Join(dir, "w.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	set, err := Load(file("watch:\n  - {name: net-pf-10, reason: for a while, until: 2026-06-01}\n  - {name: net-pf-30, reason: ours}\n"))
	if err != nil {
		t.Fatal(err)
	}
	own, err := Builtin()
	if err != nil || set.Equal(own) || !set.Equal(set) || len(set.Watch()) != len(own.Watch())+2 {
		t.Errorf("%d entries, %v", len(set.Watch()), err)
	}
	for _, c := range []struct{ alias, at, want string }{
		{"net-pf-10", "2026-05-31T23:59:59Z", "for a while"},
		{"net-pf-10", "2026-06-01T00:00:00Z", ""},
		{"net-pf-30", "2027-01-01T00:00:00Z", "ours"},
		{"net-pf-2-proto-132-type-1", "2027-01-01T00:00:00Z", "SCTP, a large protocol that few machines need"},
		{"net-pf-3", "2027-01-01T00:00:00Z", "AX.25, amateur radio: hardly maintained, and anybody can load it"},
		{"net-pf-39", "2027-01-01T00:00:00Z", ""},
		{"crypto-authencesn(hmac(sha256),cbc(aes))", "2027-01-01T00:00:00Z", "authencesn, the template that the exploit named Copy Fail asks for"},
	} {
		r := recordOf(t, fmt.Sprintf(`{"action":"load","outcome":"live","module":"m","time":%q,"for_request":"7","requester":{"id":"7","request":{"name":%q,"unprivileged":true}}}`, c.at, c.alias))
		found, err := set.Begin().Add(r)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(found, func(f Finding) bool { return f.Rule == "watched-alias" })
		if (i >= 0) != (c.want != "") || i >= 0 && !strings.HasSuffix(found[i].Text, c.alias+": "+c.want) {
			t.Errorf("%s at %s: %+v", c.alias, c.at, found)
		}
	}
	for text, want := range map[string]string{
		"watch:\n  - {name: x}\n":                         `w.yaml, watch, number 1: "x" has no reason`,
		"watch:\n  - {name: '[', reason: x}\n":            `"[" is no name, in which * stands for anything`,
		"watch:\n  - {reason: x}\n":                       `"" is no name`,
		"watch:\n  - {name: x, reason: y, until: soon}\n": `w.yaml, watch, number 1: "x" is until "soon": want a day as 2027-06-01`,
		"watch: []\n": "it has no rules",
	} {
		if _, err := Load(file(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
