package journal

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

func retain(t testing.TB, j *Journal, limits Limits, now time.Time) Removal {
	t.Helper()
	removal, err := j.Retain(t.Context(), limits, now, "boot-1")
	if err != nil {
		t.Fatal(err)
	}
	return removal
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
