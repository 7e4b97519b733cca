package journal

import (
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func seqsOf(records []Record) (seqs []int64) {
	for _, r := range records {
		seqs = append(seqs, r.Seq)
	}
	return seqs
}

func TestQueryStops(t *testing.T) {
	j := make1(t)
	add(t, j, loads(50)...)
	n := 0
	for _, err := range j.Query(t.Context(), Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("%d records", n)
	}
	add(t, j, load(51, "m")) // nothing is left open
}

func TestFirstSeen(t *testing.T) {
	j := make1(t)
	request := load(1, "net-pf-10")
	request.Action = Request
	present := load(2, "ext4")
	present.Kind, present.Action, present.Outcome = KindPresent, "", ""
	failed := load(3, "evil")
	failed.Outcome = "failed"
	add(t, j, request, present, failed, load(4, "evil"), load(5, "dummy"), load(6, "ext4"))
	got := map[What][]int64{}
	for _, what := range []What{Modules, Files, Contents} {
		for f, err := range j.FirstSeen(t.Context(), what, time.Time{}, time.Time{}) {
			if err != nil {
				t.Fatal(err)
			}
			got[what] = append(got[what], f.Seq)
		}
	}
	if diff := cmp.Diff(map[What][]int64{Modules: {2, 3, 5}, Files: {2, 3, 5}}, got); diff != "" {
		t.Error(diff)
	}
	var since []string
	for f, err := range j.FirstSeen(t.Context(), Modules, begin.Add(3*time.Second), begin.Add(5*time.Second)) {
		if err != nil {
			t.Fatal(err)
		}
		since = append(since, f.Value)
	}
	if !slices.Equal(since, []string{"evil"}) {
		t.Errorf("between: %v", since)
	}
	verify(t, j.Reader)
}

// Questions while records are appended see whole batches, in order.
func TestReadersWhileWriting(t *testing.T) {
	j := make1(t)
	const batches, each = 60, 10
	var wait sync.WaitGroup
	done := make(chan struct{})
	for range 3 {
		r, err := OpenReadOnly(j.Path())
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		wait.Go(func() {
			for more := true; more; {
				select {
				case <-done:
					more = false // and once more, of all
				default:
				}
				n, last := 0, int64(0)
				for one, err := range r.Query(t.Context(), Filter{OldestFirst: true}) {
					if err != nil || one.Seq != last+1 {
						t.Errorf("record %d after %d: %v", one.Seq, last, err)
						return
					}
					n, last = n+1, one.Seq
				}
				if n%each != 0 {
					t.Errorf("%d records: a part of a batch", n)
				}
				if report, err := r.Verify(t.Context()); err != nil || !report.OK() {
					t.Errorf("%+v, %v", report, err)
				}
				if !more && n != batches*each {
					t.Errorf("%d records in the end", n)
				}
			}
		})
	}
	records := loads(batches * each)
	for i := range batches {
		add(t, j, records[i*each:(i+1)*each]...)
	}
	close(done)
	wait.Wait()
}

func TestValues(t *testing.T) {
	j := make1(t)
	for c, want := range map[Column][]string{ByModule: nil, ByBoot: nil} {
		if got, err := j.Values(t.Context(), c); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s of an empty journal: %q, %v", c, got, err)
		}
	}
	add(t, j, loads(200)...)
	odd := load(201, "a\x00b\xff'\x1b")
	odd.User, odd.Boot, odd.Time = "", "boot-0", begin.Add(-time.Hour)
	started := Record{ID: "s", Time: begin, Boot: "", Kind: KindStarted}
	add(t, j, odd, started)
	for _, c := range []Column{ByModule, ByAction, ByOutcome, ByCause, ByUser, ByContainer, ByFile, ByContent, ByBoot} {
		seen := map[string]bool{}
		for _, r := range all(t, j.Reader) {
			for _, w := range (&Filter{}).wanted() {
				if v := w.of(&r); w.column == c && (v != "" || c == ByBoot) {
					seen[v] = true
				}
			}
		}
		got, err := j.Values(t.Context(), c)
		if err != nil || !slices.Equal(got, slices.Sorted(maps.Keys(seen))) {
			t.Errorf("%s: %q, want %v, %v", c, got, seen, err)
		}
	}
	boots, err := j.Boots(t.Context())
	want := []Boot{
		{"boot-1", 1, 200, boots[0].From, boots[0].To},
		{"boot-0", 201, 201, odd.Time.Local(), odd.Time.Local()},
		{"", 202, 202, begin.Local(), begin.Local()},
	}
	if diff := cmp.Diff(want, boots); err != nil || diff != "" {
		t.Error(err, diff)
	}
}
