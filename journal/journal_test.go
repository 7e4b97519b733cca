package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// begin is when the tests' records begin.
var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// make1 opens a new journal in a directory of its own.
func make1(t testing.TB) *Journal {
	t.Helper()
	return reopen(t, filepath.Join(t.TempDir(), "journal.db"))
}

func reopen(t testing.TB, path string) *Journal {
	t.Helper()
	j, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

// load is the n-th record of a test: a load, a second after the one before.
func load(n int, module string) Record {
	return Record{
		ID: fmt.Sprintf("a-%d", n), Time: begin.Add(time.Duration(n) * time.Second), Boot: "boot-1",
		Kind: KindAction, Module: module, Action: Load, Outcome: Live, User: "alice",
		File: "/lib/" + module + ".ko", Body: []byte(fmt.Sprintf(`{"n":%d}`, n)),
	}
}

// loads are n records of different modules, users and outcomes.
func loads(n int) []Record {
	var records []Record
	for i := 1; i <= n; i++ {
		r := load(i, fmt.Sprintf("m%d", i%17))
		if i%5 == 0 {
			r.Outcome, r.Cause, r.User = "failed", "vermagic", "bob"
		}
		if i%7 == 0 {
			id := uint32(i)
			r.UID, r.Container, r.Content = &id, "web", fmt.Sprintf("sha256:%d", i%3)
		}
		records = append(records, r)
	}
	return records
}

func add(t testing.TB, j *Journal, records ...Record) []Appended {
	t.Helper()
	done, err := j.Append(t.Context(), records...)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// all reads a journal from its beginning.
func all(t testing.TB, r *Reader) []Record {
	t.Helper()
	return collect(t, r, Filter{OldestFirst: true})
}

func collect(t testing.TB, r *Reader, f Filter) []Record {
	t.Helper()
	var records []Record
	for one, err := range r.Query(t.Context(), f) {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, one)
	}
	return records
}

// verify demands that nothing is wrong.
func verify(t testing.TB, r *Reader, anchors ...Anchor) *Report {
	t.Helper()
	report, err := r.Verify(t.Context(), anchors...)
	if err != nil {
		t.Fatal(err)
	}
	if !report.OK() {
		t.Fatalf("an untouched journal does not verify: %v", report.Problems)
	}
	return report
}

func TestRecordsComeBack(t *testing.T) {
	j := make1(t)
	if !j.New() {
		t.Error("a new journal is not said to be new")
	}
	want := loads(100)
	add(t, j, want[:60]...)
	add(t, j, want[60:]...)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = reopen(t, j.Path())
	if j.New() {
		t.Error("an old journal is said to be new")
	}
	got := all(t, j.Reader)
	var before Sum
	for i := range got {
		if got[i].Seq != int64(i+1) {
			t.Fatalf("record %d has number %d", i+1, got[i].Seq)
		}
		if got[i].Prev != before {
			t.Fatalf("record %d does not follow %d", i+1, i)
		}
		before = got[i].Hash
		if want := want[i].class(); got[i].Class != want {
			t.Errorf("record %d has class %d, not %d", i+1, got[i].Class, want)
		}
		got[i].Seq, got[i].Prev, got[i].Hash, got[i].Class = 0, Sum{}, Sum{}, 0
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if report := verify(t, j.Reader); report.Records != 100 || report.First != 1 || report.Last.Count != 100 {
		t.Errorf("%+v", report)
	}
}

// Values that nobody would think of come back byte for byte, are found, and verify.
func TestStrangeValues(t *testing.T) {
	j := make1(t)
	values := []string{
		"\xff\xfe not UTF-8", "NUL \x00 inside", "\x00", "'; DROP TABLE record; --", "%s%n", "ü\u202e", " ", "NULL", "-1", "1e309",
		strings.Repeat("x", MaxText),
	}
	for i, v := range values {
		r := load(i, v)
		r.ID, r.User, r.Container, r.Cause, r.File, r.Content, r.Boot = v, v, v, v, v, v, v
		r.Body = []byte(v)
		add(t, j, r)
	}
	for _, v := range values {
		for _, f := range []Filter{{Modules: []string{v}}, {Users: []string{v}}, {Containers: []string{v}}, {Causes: []string{v}}, {Files: []string{v}}, {Contents: []string{v}}, {Boots: []string{v}}, {Modules: []string{v}, Users: []string{v}, Boots: []string{v}}} {
			got := collect(t, j.Reader, f)
			if len(got) != 1 || got[0].Module != v || string(got[0].Body) != v {
				t.Fatalf("%.30q is found %d times", v, len(got))
			}
		}
		if got, err := j.Get(t.Context(), v); v != "-1" && (err != nil || got.ID != v) {
			t.Errorf("get %.30q: %v", v, err)
		}
	}
	for _, body := range [][]byte{nil, {}, {0}, bytes.Repeat([]byte{0xff}, MaxBody)} {
		r := load(0, "body")
		r.Kind = KindLost
		r.ID, r.Body = fmt.Sprint("body-", len(body), body == nil), body
		add(t, j, r)
		if got, err := j.Get(t.Context(), r.ID); err != nil || !bytes.Equal(got.Body, body) {
			t.Errorf("a body of %d bytes: %v", len(body), err)
		}
	}
	for _, at := range []time.Time{time.Unix(0, 0), time.Unix(0, -1), time.Unix(0, 1<<63-1), time.Unix(0, -1<<63)} {
		r := load(0, "time")
		r.ID, r.Time = at.String(), at
		add(t, j, r)
		if got, err := j.Get(t.Context(), r.ID); err != nil || !got.Time.Equal(at) {
			t.Errorf("%v: %v", at, err)
		}
	}
	verify(t, j.Reader)
}

func TestRefusedRecords(t *testing.T) {
	j := make1(t)
	add(t, j, load(1, "one"))
	for name, spoil := range map[string]func(*Record){
		"no id":                     func(r *Record) { r.ID = "" },
		"no kind":                   func(r *Record) { r.Kind = "" },
		"no time":                   func(r *Record) { r.Time = time.Time{} },
		"far time":                  func(r *Record) { r.Time = time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC) },
		"no class":                  func(r *Record) { r.Class = ClassKept + 1 },
		"large body":                func(r *Record) { r.Kind, r.Body = KindLost, make([]byte, MaxBody+1) },
		"large body of an action":   func(r *Record) { r.Body = make([]byte, MaxStored+1) },
		"large body of a minor one": func(r *Record) { r.Outcome, r.Class, r.Body = "failed", ClassMinor, make([]byte, MaxMinor+1) },
		"large text":                func(r *Record) { r.Module = strings.Repeat("x", MaxText+1) },
	} {
		bad := load(3, "three")
		spoil(&bad)
		if _, err := j.Append(t.Context(), load(2, "two"), bad); err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "\n") || len(err.Error()) > 400 {
			t.Errorf("%s: not one clear line: %v", name, err)
		}
	}
	if got := all(t, j.Reader); len(got) != 1 {
		t.Errorf("a refused batch left %d records", len(got)-1)
	}
	add(t, j, load(2, "two"))
	verify(t, j.Reader)
}

func TestRepeatedID(t *testing.T) {
	j := make1(t)
	done := add(t, j, load(1, "one"), load(2, "two"), load(1, "other"))
	if want := []Appended{{Seq: 1}, {Seq: 2}, {Seq: 1, Repeated: true}}; !slices.Equal(done, want) {
		t.Errorf("%+v", done)
	}
	if done := add(t, j, load(2, "two"), load(3, "three")); !done[0].Repeated || done[0].Seq != 2 || done[1] != (Appended{Seq: 3}) {
		t.Errorf("%+v", done)
	}
	if got := all(t, j.Reader); len(got) != 3 || got[0].Module != "one" {
		t.Errorf("%+v", got)
	}
	if done := add(t, j); len(done) != 0 {
		t.Errorf("nothing appended gives %+v", done)
	}
	verify(t, j.Reader)
}

// No two different records have the same bytes to hash.
func TestEncodingIsUnambiguous(t *testing.T) {
	base := kept{Record: Record{Seq: 1, ID: "a", Time: begin, Boot: "b", Kind: "k"}}
	zero := uint32(0)
	variants := []kept{base}
	for _, change := range []func(*kept){
		func(r *kept) { r.Class = 1 },
		func(r *kept) { r.Class = 2 },
		func(r *kept) { r.Class, r.form = 1, 1 },
		func(r *kept) { r.Seq = 2 },
		func(r *kept) { r.ID, r.Boot = "ab", "" },
		func(r *kept) { r.ID, r.Boot = "", "ab" },
		func(r *kept) { r.Module = "m" },
		func(r *kept) { r.Action = "m" },
		func(r *kept) { r.Outcome = "m" },
		func(r *kept) { r.Cause = "m" },
		func(r *kept) { r.User = "m" },
		func(r *kept) { r.Container = "m" },
		func(r *kept) { r.File = "m" },
		func(r *kept) { r.Content = "m" },
		func(r *kept) { r.Body = []byte("m") },
		func(r *kept) { r.UID = &zero },
		func(r *kept) { r.Count = 1 },
		func(r *kept) { r.Time = r.Time.Add(1) },
		func(r *kept) { r.Prev[31] = 1 },
		func(r *kept) { r.Kind = "k\x00" },
	} {
		v := base
		change(&v)
		variants = append(variants, v)
	}
	seen := map[Sum]int{}
	for i := range variants {
		sum := variants[i].sum("journal")
		if other, ok := seen[sum]; ok {
			t.Errorf("variants %d and %d have the same hash", i, other)
		}
		seen[sum] = i
	}
	if _, ok := seen[base.sum("another")]; ok {
		t.Error("another journal gives the same hash")
	}
}

func TestAppendContext(t *testing.T) {
	j := make1(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := j.Append(ctx, load(1, "one")); !errors.Is(err, context.Canceled) {
		t.Errorf("append with an ended context: %v", err)
	}
	add(t, j, load(1, "one"))
	j.Close()
	if _, err := j.Append(t.Context(), load(2, "two")); !errors.Is(err, ErrClosed) {
		t.Errorf("append to a closed journal: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
}

// The clock goes back: the records keep the order in which they came.
func TestClockGoesBack(t *testing.T) {
	j := make1(t)
	for i, minute := range []int{0, 10, 20, -40, -30, 30} {
		r := load(i, "m")
		r.Time = begin.Add(time.Duration(minute) * time.Minute)
		add(t, j, r)
	}
	seqs := func(f Filter) (s []int64) {
		for _, r := range collect(t, j.Reader, f) {
			s = append(s, r.Seq)
		}
		return s
	}
	if got := seqs(Filter{}); !slices.Equal(got, []int64{6, 5, 4, 3, 2, 1}) {
		t.Errorf("newest first: %v", got)
	}
	if got := seqs(Filter{Since: begin.Add(-35 * time.Minute), Until: begin.Add(15 * time.Minute), OldestFirst: true}); !slices.Equal(got, []int64{1, 2, 5}) {
		t.Errorf("of half an hour: %v", got)
	}
	verify(t, j.Reader)
}

// TestWrongCursors: a cursor that no output can have reached is found, by name, and no
// number is given for it; the first and the last record are right ones.
func TestWrongCursors(t *testing.T) {
	j := make1(t)
	add(t, j, loads(10)...)
	ctx := t.Context()
	for seq, wrong := range map[int64]bool{-1: true, 0: true, 1: false, 10: false, 11: true, 1 << 62: true} {
		if err := j.SetCursor(ctx, "syslog", seq); err != nil {
			t.Fatal(err)
		}
		got, err := j.Cursor(ctx, "syslog")
		if errors.Is(err, ErrCursor) != wrong || errors.Is(err, ErrCorrupt) || (got == seq) == wrong && seq != 0 {
			t.Errorf("a cursor of %d is given as %d, %v", seq, got, err)
		}
		report, err := j.Verify(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !wrong && !report.OK() {
			t.Errorf("a cursor of %d: %v", seq, report.Problems)
		}
		if wrong && (len(report.Problems) != 1 || report.Problems[0].Trouble != Derived || !strings.Contains(report.Problems[0].Text, `"syslog" is `+strconv.FormatInt(seq, 10)+",")) {
			t.Errorf("a cursor of %d: %v", seq, report.Problems)
		}
	}
	// One that is wrong keeps nobody else from going on.
	if err := j.SetCursor(ctx, "file", 4); err != nil {
		t.Fatal(err)
	}
	if seq, err := j.Cursor(ctx, "file"); err != nil || seq != 4 {
		t.Errorf("another cursor: %d, %v", seq, err)
	}
}

func TestCursors(t *testing.T) {
	j := make1(t)
	add(t, j, loads(10)...)
	ctx := t.Context()
	if seq, err := j.Cursor(ctx, "syslog"); err != nil || seq != 0 {
		t.Errorf("a cursor that was never set: %d, %v", seq, err)
	}
	for _, seq := range []int64{3, 7} {
		if err := j.SetCursor(ctx, "syslog", seq); err != nil {
			t.Fatal(err)
		}
	}
	j = reopenAfter(t, j)
	if seq, err := j.Cursor(ctx, "syslog"); err != nil || seq != 7 {
		t.Errorf("cursor: %d, %v", seq, err)
	}
	got, err := j.ReadFrom(ctx, 8, 2)
	if err != nil || len(got) != 2 || got[0].Seq != 8 || got[1].Seq != 9 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := j.ReadFrom(ctx, 11, 2); err != nil || len(got) != 0 {
		t.Errorf("from behind the end: %v, %v", got, err)
	}
	verify(t, j.Reader)
}

func reopenAfter(t testing.TB, j *Journal) *Journal {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return reopen(t, j.Path())
}

func TestGet(t *testing.T) {
	j := make1(t)
	for i, id := range []string{"abc", "abd", "xyz", "3", "\xff\xff", "1"} {
		r := load(i, "m")
		r.ID = id
		add(t, j, r)
	}
	for name, want := range map[string]int64{"abc": 1, "x": 3, "xyz": 3, "3": 4, "2": 2, "1": 6, "\xff": 5} {
		if r, err := j.Get(t.Context(), name); err != nil || r.Seq != want {
			t.Errorf("get %q: %v, %v", name, r, err)
		}
	}
	var several *AmbiguousError
	if _, err := j.Get(t.Context(), "ab"); !errors.As(err, &several) || !slices.Equal(several.IDs, []string{"abc", "abd"}) {
		t.Errorf("get ab: %v", err)
	}
	for _, name := range []string{"", "q", "7", "0", "-1", "99999999999999999999"} {
		if _, err := j.Get(t.Context(), name); !errors.Is(err, ErrNotFound) {
			t.Errorf("get %q: %v", name, err)
		}
	}
}

func TestAnchorText(t *testing.T) {
	j := make1(t)
	add(t, j, loads(5)...)
	want, err := j.Anchor(t.Context(), begin)
	if err != nil || want.Count != 5 || want.Hash == (Sum{}) {
		t.Fatalf("%+v, %v", want, err)
	}
	got, err := ParseAnchor("Mar  1 12:00:00 host kmodtrace[17]: " + want.String() + " (5 new)")
	if err != nil || !got.Time.Equal(want.Time) {
		t.Fatal(err)
	}
	got.Time = want.Time
	if got != want {
		t.Errorf("%+v is read as %+v", want, got)
	}
	if read, err := j.Reader.Anchor(t.Context(), begin); err != nil || read != want {
		t.Errorf("the file says %+v, %v", read, err)
	}
	for _, line := range []string{"", "journal=", "journal=x records=y", "journal=x records=1 hash=zz time=2026-01-01T00:00:00Z", "journal=x records=1 hash=" + want.Hash.String() + " time=noon"} {
		if _, err := ParseAnchor(line); err == nil {
			t.Errorf("%q is an anchor", line)
		}
	}
}
