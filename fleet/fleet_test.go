package fleet_test

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/fleet"
	"github.com/kmodtrace/kmodtrace/internal/sample"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/output"
)

var start = time.Now().Add(-time.Hour).Truncate(time.Second)

// machine makes a journal with n loads and unloads.
func machine(t *testing.T, dir, name string, n int) *sample.FleetHost {
	t.Helper()
	h, err := sample.NewFleetHost(t.Context(), dir, name, start)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Journal.Close() })
	if err := h.Storm(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	return h
}

// linesOf gives the lines that an output writes of a journal.
func linesOf(t *testing.T, h *sample.FleetHost) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "out.jsonl")
	o, err := output.Config{Type: "file", Path: path}.Open(output.Surroundings{Journal: h.Journal.Name()})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	records, err := h.Journal.ReadFrom(t.Context(), 1, 100000)
	if err != nil {
		t.Fatal(err)
	}
	entries := make([]output.Entry, len(records))
	for i := range records {
		entries[i] = output.Entry{Record: records[i]}
	}
	if err := o.Send(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.SplitAfter(string(text), "\n")
	return all[:len(all)-1]
}

func verifyLines(t *testing.T, o *fleet.VerifyOptions, lines ...string) *fleet.Report {
	t.Helper()
	path := filepath.Join(t.TempDir(), "records.jsonl")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	return verify(t, o, path)
}

func verify(t *testing.T, o *fleet.VerifyOptions, sources ...string) *fleet.Report {
	t.Helper()
	f, err := fleet.Open(sources...)
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.Verify(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// problems gives those of a report in short.
func problems(r *fleet.Report) []string {
	all := []string{}
	for _, v := range r.Journals {
		for _, p := range v.Problems {
			all = append(all, fmt.Sprintf("%s %d-%d", p.Trouble, p.From, p.Through))
		}
	}
	return all
}

// rename puts another machine into a line, as a copy of one has it.
func rename(line, host, name string) string {
	var l map[string]json.RawMessage
	if err := json.Unmarshal([]byte(line), &l); err != nil {
		panic(err)
	}
	l["host"] = fmt.Appendf(nil, `{"id":%q,"name":%q}`, strings.Repeat(host, 32), name)
	text, _ := json.Marshal(l)
	return string(text) + "\n"
}

// What arrives whole passes, in whatever order and however often; each way in which it is not
// whole is named, with its numbers.
func TestVerifyLines(t *testing.T) {
	h := machine(t, t.TempDir(), "a", 10)
	all := linesOf(t, h)
	if len(all) != 26 {
		t.Fatalf("%d lines", len(all))
	}
	without := func(from, through int) []string {
		return append(slices.Clone(all[:from-1]), all[through:]...)
	}
	reversed := slices.Clone(all)
	slices.Reverse(reversed)
	anchor, _ := h.Journal.Anchor(t.Context(), time.Now())
	wrong := anchor
	wrong.Hash[3]++
	later := anchor
	later.Count += 4
	for _, c := range []struct {
		name  string
		lines []string
		o     *fleet.VerifyOptions
		want  []string
	}{
		{"whole", all, nil, nil},
		{"in another order", reversed, nil, nil},
		{"twice", append(slices.Clone(all), all...), nil, nil},
		{"a hole", without(7, 9), nil, []string{"missing 7-9"}},
		{"the first", without(1, 1), nil, []string{"missing 1-1"}},
		{"the last, known by an anchor", without(25, 26), &fleet.VerifyOptions{Anchors: []journal.Anchor{anchor}}, []string{"anchor 25-26", "missing 25-26"}},
		{"an anchor that agrees", all, &fleet.VerifyOptions{Anchors: []journal.Anchor{anchor}}, nil},
		{"an anchor that does not", all, &fleet.VerifyOptions{Anchors: []journal.Anchor{wrong}}, []string{"anchor 26-26"}},
		{"an anchor of more", all, &fleet.VerifyOptions{Anchors: []journal.Anchor{later}}, []string{"anchor 27-30", "missing 27-30"}},
		{"another module in the body", append(without(10, 10), strings.ReplaceAll(all[9], `"module":"mod1"`, `"module":"mod2"`)), nil, []string{"changed 10-10"}},
		{"another time beside it", append(without(10, 10), strings.Replace(all[9], `"seq":10`, `"seq":11`, 1)), nil, []string{"changed 10-10"}},
		{"silent", all, &fleet.VerifyOptions{Now: start.Add(72 * time.Hour)}, []string{"silent 26-26"}},
		{"in the future", all, &fleet.VerifyOptions{Now: start.Add(-72 * time.Hour)}, []string{"clock 1-1"}},
	} {
		r := verifyLines(t, c.o, c.lines...)
		if got := problems(r); !slices.Equal(got, append([]string{}, c.want...)) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if v := r.Journals[0]; c.name == "twice" && (v.Repeated != 26 || v.Records != 26) {
			t.Errorf("twice: %d records, %d repeated", v.Records, v.Repeated)
		}
	}
}

// What is not a record is an error, and not a fleet without records.
func TestLinesThatAreNotRecords(t *testing.T) {
	h := machine(t, t.TempDir(), "a", 1)
	line := linesOf(t, h)[0]
	for _, c := range []struct{ text, says string }{
		{"{}\n", "line 1: not a record of kmodtrace"},
		{"hello\n", "line 1: not a record"},
		{line + line[:len(line)/2], "line 2: not a record"},
		{`{"schema":1,"seq":3,"kind":"lost","hash":"` + strings.Repeat("0", 64) + `"}`, "does not say which journal"},
		{`{"kmodtrace.seq":"x"}`, "not a number"},
		{`{"kmodtrace.seq":"1","kmodtrace.chain":"{"}`, "kmodtrace.chain"},
	} {
		path := filepath.Join(t.TempDir(), "x.jsonl")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := fleet.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Verify(t.Context(), nil); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%.40q: %v, want %q", c.text, err, c.says)
		}
	}
}

// A journal that was copied and goes on twice, one that was written anew, and a machine with the
// machine-id of another are named; the others pass.
func TestVerifyHistories(t *testing.T) {
	dir := t.TempDir()
	a, b := machine(t, dir, "a", 5), machine(t, dir, "b", 5)
	copied := filepath.Join(dir, "copy", "journal.db")
	if err := os.MkdirAll(filepath.Dir(copied), 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+a.Journal.Path())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("VACUUM INTO ?", copied); err != nil {
		t.Fatal(err)
	}
	db.Close()
	if r := verify(t, nil, dir); !r.OK || r.Hosts != 3 || r.Journals[0].Repeated == 0 {
		t.Errorf("a copy that did not go on: %q", problems(r))
	}
	second, err := journal.Open(copied, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	clone := &sample.FleetHost{Name: "copy", Boot: "22222222-x", Journal: second, Start: start.Add(time.Minute)}
	if err := clone.Storm(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if err := a.Storm(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	r := verify(t, nil, dir)
	for _, v := range r.Journals {
		if got := fmt.Sprint(v.Problems); v.Journal == b.Journal.Name() != v.OK || !v.OK && (!strings.Contains(got, "forked 17 17 two histories from record 17 on") || !strings.Contains(got, "cloned")) {
			t.Errorf("%s: %s", v.Host(), got)
		}
	}

	// Of one journal there is what arrived, and a file with other records of these numbers.
	arrived := filepath.Join(t.TempDir(), "arrived.jsonl")
	if err := os.WriteFile(arrived, []byte(strings.Join(linesOf(t, b)[:12], "")), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, nil, b.Journal.Path(), arrived); !r.OK {
		t.Errorf("a journal and what arrived of it: %q", problems(r))
	}

	// Two machines with one id, each with a journal of its own.
	var lines []string
	for _, l := range linesOf(t, a) {
		lines = append(lines, rename(l, "a", "one"))
	}
	for _, l := range linesOf(t, b) {
		lines = append(lines, rename(l, "a", "two"))
	}
	r = verifyLines(t, nil, lines...)
	if len(r.Journals) != 2 || r.Hosts != 2 || r.OK || r.Journals[0].Problems[0].Trouble != fleet.Cloned || r.Journals[1].Problems[0].Trouble != fleet.Cloned {
		t.Errorf("one machine-id: %q", problems(r))
	}
}

// A journal that was written anew with all hashes does not fit what arrived before, and neither does
// what it sends after that.
func TestVerifyRewritten(t *testing.T) {
	dir := t.TempDir()
	h := machine(t, dir, "a", 5)
	before := linesOf(t, h)
	anew, err := sample.Rewrite(t.Context(), h.Journal, filepath.Join(t.TempDir(), "anew.db"), 10)
	if err != nil {
		t.Fatal(err)
	}
	defer anew.Close()
	if r := verify(t, nil, anew.Path()); !r.OK {
		t.Fatalf("the journal that was written anew does not fit itself: %q", problems(r))
	}
	after := linesOf(t, &sample.FleetHost{Journal: anew})
	if r := verifyLines(t, nil, append(slices.Clone(before), after...)...); r.OK || problems(r)[0] != "forked 10-10" {
		t.Errorf("both histories: %q", problems(r))
	}
	if r := verifyLines(t, nil, append(slices.Clone(before[:12]), after[12:]...)...); r.OK || !slices.Equal(problems(r), []string{"rewritten 13-13"}) {
		t.Errorf("what it sent after that: %q", problems(r))
	}
}

// What retention removed is not missing, where a record says so.
func TestVerifyRetention(t *testing.T) {
	h := machine(t, t.TempDir(), "a", 20)
	arrived := linesOf(t, h)[5:]
	if _, err := h.Journal.Retain(t.Context(), journal.Limits{Age: 50 * time.Minute}, start.Add(time.Hour-5*time.Second), h.Boot); err != nil {
		t.Fatal(err)
	}
	left := linesOf(t, h)
	if len(left) >= 46 {
		t.Fatalf("nothing was removed: %d", len(left))
	}
	if r := verifyLines(t, nil, left...); !r.OK || r.Journals[0].Removed == 0 {
		t.Errorf("what is left: %q, %d removed", problems(r), r.Journals[0].Removed)
	}
	if r := verifyLines(t, nil, append(arrived, left...)...); !r.OK {
		t.Errorf("with what arrived before: %q", problems(r))
	}
	if r := verifyLines(t, nil, left[:len(left)-1]...); r.OK {
		t.Error("without the record that says so nothing is missing")
	}
}

// Questions have the same answers from journals and from what arrived of them.
func TestQuestions(t *testing.T) {
	dir := t.TempDir()
	var lines []string
	for i := range 5 {
		h := machine(t, dir, fmt.Sprintf("host%d", i), 3)
		if err := h.Do(t.Context(), journal.Load, "common", journal.Live, "root", sample.ContentOf("common")); err != nil {
			t.Fatal(err)
		}
		if i == 3 {
			if err := h.Do(t.Context(), journal.Load, "evil", journal.Live, "mallory", sample.ContentOf("evil")); err != nil {
				t.Fatal(err)
			}
		}
		for _, l := range linesOf(t, h) {
			lines = append(lines, rename(l, fmt.Sprint(i), h.Name))
		}
	}
	path := filepath.Join(t.TempDir(), "all.jsonl")
	if err := os.WriteFile(path, []byte(strings.Join(append(lines, lines...), "")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{dir, path} {
		f, err := fleet.Open(source)
		if err != nil {
			t.Fatal(err)
		}
		checkQuestions(t, f, 5)
	}
}

func checkQuestions(t *testing.T, f *fleet.Fleet, hosts int) {
	t.Helper()
	for _, name := range []string{"evil", sample.ContentOf("evil")} {
		who, err := f.Who(t.Context(), name)
		if err != nil || len(who) != 1 || who[0].Host.Name != "host3" || who[0].Records != 1 || !slices.Equal(who[0].By, []string{"mallory"}) {
			t.Errorf("who has %.10s: %+v, %v", name, who, err)
		}
	}
	if who, err := f.Who(t.Context(), "common"); err != nil || len(who) != hosts || who[0].Records != 1 {
		t.Errorf("who has common: %+v, %v", who, err)
	}
	first, err := f.FirstSeen(t.Context(), fleet.Contents, start)
	if err != nil || len(first) < 2 || first[0].Hosts != 1 || first[0].Of != hosts || first[0].Value != sample.ContentOf("evil") || first[0].Host.Name != "host3" || first[0].By != "mallory" || !slices.Equal(first[0].Modules, []string{"evil"}) {
		t.Errorf("first seen: %+v, %v", first, err)
	}
	if first, err := f.FirstSeen(t.Context(), fleet.Contents, start.Add(2*time.Hour)); err != nil || len(first) != 0 {
		t.Errorf("first seen later: %+v, %v", first, err)
	}
	loaded, err := f.LoadedAt(t.Context(), time.Now())
	if err != nil || len(loaded) != hosts {
		t.Fatalf("%+v, %v", loaded, err)
	}
	for _, l := range loaded {
		var names []string
		for _, m := range l.Modules {
			names = append(names, m.Module)
		}
		want := "common dm_mod e1000 ext4 overlay"
		if l.Host.Name == "host3" {
			want = "common dm_mod e1000 evil ext4 overlay"
		}
		if got := strings.Join(names, " "); got != want || len(l.Doubts) > 0 {
			t.Errorf("%s has %s, want %s; doubts %q", l.Host, got, want, l.Doubts)
		}
	}
	if loaded, err := f.LoadedAt(t.Context(), start.Add(8*time.Second)); err != nil || len(loaded) != hosts || len(loaded[0].Modules) != 5 {
		t.Errorf("while mod1 is loaded: %+v, %v", loaded, err)
	}
	drift, err := f.Drift(t.Context(), time.Now())
	if err != nil || len(drift) != 1 || drift[0].Difference != fleet.Extra || drift[0].Module != "evil" || drift[0].Hosts != 1 || drift[0].Of != hosts {
		t.Errorf("drift: %+v, %v", drift, err)
	}
}

// A source that cannot be asked says so in one line.
func TestOpen(t *testing.T) {
	empty := t.TempDir()
	for _, c := range []struct{ source, says string }{
		{"", "no such file"}, {"/nonexistent", "no such file"}, {"ftp://x", "not the URL"}, {"http://", "not the URL"}, {empty, "no journal in it"},
	} {
		f, err := fleet.Open(c.source)
		if err == nil {
			_, err = f.Verify(t.Context(), nil)
		}
		if err == nil || !strings.Contains(err.Error(), c.says) || bytes.ContainsRune([]byte(err.Error()), '\n') {
			t.Errorf("%q: %v, want %q", c.source, err, c.says)
		}
	}
}
