package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func retain(t testing.TB, j *Journal, limits Limits, now time.Time) Removal {
	t.Helper()
	removal, err := j.Retain(t.Context(), limits, now, "boot-1")
	if err != nil {
		t.Fatal(err)
	}
	return removal
}

func TestRetentionByAge(t *testing.T) {
	j := make1(t)
	add(t, j, loads(5000)...)
	before, _ := j.Anchor(t.Context(), begin)
	firsts := firstSeqs(t, j)
	now := begin.Add(5000 * time.Second)

	if got := retain(t, j, Limits{}, now); got != (Removal{}) {
		t.Errorf("no limits remove %+v", got)
	}
	if got := retain(t, j, Limits{Age: 2 * time.Hour}, now); got != (Removal{}) {
		t.Errorf("a limit that nothing is over removes %+v", got)
	}
	if got := retain(t, j, Limits{Age: 1000 * time.Second}, now); got.Records != 3999 || got.Through != 3999 {
		t.Errorf("%+v", got)
	}
	report := verify(t, j.Reader, before)
	if report.First != 4000 || report.Removed != 3999 || report.Records != 1002 || report.Anchors != 1 {
		t.Errorf("%+v", report)
	}
	if _, err := j.Get(t.Context(), "a-3999"); !errors.Is(err, ErrNotFound) {
		t.Errorf("what was removed is there: %v", err)
	}
	if got, err := j.ReadFrom(t.Context(), 5, 1); err != nil || got[0].Seq != 4000 {
		t.Errorf("%v, %v", got, err)
	}
	if diff := cmp.Diff(firsts, firstSeqs(t, j)); diff != "" {
		t.Error("what was seen first is forgotten:", diff)
	}
	if got := collect(t, j.Reader, Filter{Kinds: []Kind{KindRetention}}); len(got) != 1 || got[0].Count != 3999 || !got[0].Time.Equal(now) {
		t.Errorf("%+v", got)
	}
	// And again, over its own records, as often as one likes.
	for i := range 5 {
		later := now.Add(time.Duration(i) * 200 * time.Second)
		retain(t, j, Limits{Age: 600 * time.Second}, later)
		verify(t, j.Reader, before)
	}
	j = reopenAfter(t, j)
	add(t, j, load(9000, "m"))
	verify(t, j.Reader)
}

func firstSeqs(t testing.TB, j *Journal) map[string]int64 {
	t.Helper()
	seqs := map[string]int64{}
	for _, what := range []What{Modules, Files, Contents} {
		for f, err := range j.FirstSeen(t.Context(), what, time.Time{}, time.Time{}) {
			if err != nil {
				t.Fatal(err)
			}
			seqs[string(what)+f.Value] = f.Seq
		}
	}
	return seqs
}

// However small the limits, the last record stays, and the journal goes on.
func TestRetentionOfAll(t *testing.T) {
	for _, limits := range []Limits{{Age: 1}, {Bytes: 1}, {Age: 1, Bytes: 1}} {
		j := make1(t)
		if got := retain(t, j, limits, begin); got != (Removal{}) {
			t.Errorf("of nothing: %+v", got)
		}
		add(t, j, load(1, "m"))
		if got := retain(t, j, limits, begin.AddDate(1, 0, 0)); got != (Removal{}) {
			t.Errorf("of one record: %+v", got)
		}
		add(t, j, loads(50)[1:]...)
		if got := retain(t, j, limits, begin.AddDate(1, 0, 0)); got.Records != 49 {
			t.Errorf("%+v: %+v", limits, got)
		}
		add(t, j, load(51, "m"))
		verify(t, j.Reader)
	}
}

func TestRetentionKeepsFrom(t *testing.T) {
	j := make1(t)
	add(t, j, loads(100)...)
	if got := retain(t, j, Limits{Age: 1, KeepFrom: 31}, begin.AddDate(1, 0, 0)); got.Through != 30 {
		t.Errorf("%+v", got)
	}
	if got := retain(t, j, Limits{Bytes: 1, KeepFrom: 31}, begin); got != (Removal{}) {
		t.Errorf("%+v", got)
	}
	verify(t, j.Reader)
}

// The file does not grow over its limit, however much is appended, and a smaller limit
// makes it smaller.
func TestRetentionBySize(t *testing.T) {
	j := make1(t)
	const limit = 2 << 20
	n := 0
	fill := func() {
		var batch []Record
		for range 200 {
			n++
			r := load(n, fmt.Sprint("m", n%50))
			r.Body = bytes.Repeat([]byte("b"), 1500)
			batch = append(batch, r)
		}
		add(t, j, batch...)
	}
	for range 30 { // nine megabytes
		fill()
		retain(t, j, Limits{Bytes: limit}, begin)
		if size, err := j.Size(t.Context()); err != nil || size.Bytes > limit+limit/4 {
			t.Fatalf("%+v, %v", size, err)
		}
	}
	kept := verify(t, j.Reader).Records
	if kept < 600 {
		t.Errorf("only %d records are left in %d bytes", kept, limit)
	}
	if len(collect(t, j.Reader, Filter{Kinds: []Kind{KindRetention}})) > 30 {
		t.Error("more retention records than needed")
	}
	removal := retain(t, j, Limits{Bytes: limit / 4}, begin)
	info, err := os.Stat(j.Path())
	if err != nil || info.Size() > limit/4 || removal.Freed < limit/2 {
		t.Errorf("%v bytes, %+v, %v", info.Size(), removal, err)
	}
	fill()
	verify(t, j.Reader)
}

// An inventory is removed whole or not at all.
func TestRetentionOfInventory(t *testing.T) {
	j := make1(t)
	add(t, j, loads(10)...)
	var found []Record
	for i := range 20 {
		found = append(found, Record{ID: fmt.Sprint("p-", i), Time: begin.Add(time.Hour), Boot: "boot-1", Module: fmt.Sprint("p", i)})
	}
	if _, err := j.AppendInventory(t.Context(), Record{ID: "inv", Time: begin.Add(time.Hour), Boot: "boot-1"}, found); err != nil {
		t.Fatal(err)
	}
	last := load(11, "m")
	last.Time = begin.Add(2 * time.Hour)
	add(t, j, last)
	for keep, through := range map[int64]int64{5: 4, 15: 10, 25: 10} {
		t.Run(fmt.Sprint(keep), func(t *testing.T) {
			j := copied(t, j)
			if got := retain(t, j, Limits{Age: 1, KeepFrom: keep}, begin.AddDate(1, 0, 0)); got.Through != through {
				t.Errorf("%+v", got)
			}
			verify(t, j.Reader)
		})
	}
	retain(t, j, Limits{Age: 1, KeepFrom: 12}, begin.AddDate(1, 0, 0)) // what is before it
	if got := retain(t, j, Limits{Age: 1, KeepFrom: 32}, begin.AddDate(1, 0, 0)); got.Through != 31 {
		t.Errorf("an inventory in front: %+v", got)
	}
	verify(t, j.Reader)
}

// copied is a journal with what another has.
func copied(t *testing.T, j *Journal) *Journal {
	t.Helper()
	path := copyable(t, j.Path())
	log, err := os.ReadFile(copyable(t, j.Path()+"-wal"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+"-wal", log, 0o600); err != nil {
		t.Fatal(err)
	}
	return reopen(t, path)
}

// A record of a time that is yet to come stays, and keeps what is behind it: what was
// appended earlier is never kept without it.
func TestRetentionAndTheClock(t *testing.T) {
	j := make1(t)
	for i, minute := range []int{0, 1, 500, 2, 3} {
		r := load(i, "m")
		r.Time = begin.Add(time.Duration(minute) * time.Minute)
		add(t, j, r)
	}
	retain(t, j, Limits{Age: time.Minute}, begin.Add(time.Hour))
	if got := seqsOf(all(t, j.Reader)); !slices.Equal(got, []int64{3, 4, 5, 6}) {
		t.Errorf("%v", got)
	}
	verify(t, j.Reader)
}

// Anchors of what retention has removed are passed over, that of the last removed record
// is not.
func TestAnchorsAndRetention(t *testing.T) {
	j := make1(t)
	var anchors []Anchor
	for _, r := range loads(10) {
		add(t, j, r)
		a, _ := j.Anchor(t.Context(), r.Time)
		anchors = append(anchors, a)
	}
	retain(t, j, Limits{Age: 1, KeepFrom: 5}, begin.AddDate(1, 0, 0))
	if report := verify(t, j.Reader, anchors...); report.Anchors != 7 {
		t.Errorf("%d anchors compared", report.Anchors)
	}
	anchors[3].Hash[0]++
	report, err := j.Verify(t.Context(), anchors[3])
	if err != nil || len(report.Problems) != 1 || report.Problems[0].Trouble != Rewritten {
		t.Errorf("%+v, %v", report, err)
	}
	anchors[8].Hash[0]++
	report, err = j.Verify(t.Context(), anchors[6:]...)
	if err != nil || len(report.Problems) != 1 || report.Problems[0].Seq != 9 || report.Problems[0].Through != 9 {
		t.Errorf("between two anchors: %+v, %v", report, err)
	}
	anchors[9].Journal = "another"
	if report := verify(t, j.Reader, anchors[9]); report.Anchors != 0 {
		t.Errorf("another journal's anchor is compared: %+v", report)
	}
}
