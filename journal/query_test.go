package journal

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Every filter gives what going through all records gives.
func TestQueryAgainstAll(t *testing.T) {
	j := make1(t)
	records := loads(3000)
	records = append(records, Record{ID: "g1", Time: begin, Boot: "boot-2", Kind: KindStarted}, Record{ID: "g2", Time: begin, Boot: "boot-2", Kind: KindLost, Count: 3})
	add(t, j, records...)
	for i := range records {
		records[i].Seq = int64(i + 1)
	}
	fourteen := uint32(14)
	from := begin.Add(time.Hour / 4)
	cases := []struct {
		name string
		f    Filter
		fits func(*Record) bool
	}{
		{"all", Filter{}, func(*Record) bool { return true }},
		{"module", Filter{Module: "m3"}, func(r *Record) bool { return r.Module == "m3" }},
		{"action", Filter{Action: Load}, func(r *Record) bool { return r.Action == Load }},
		{"outcome", Filter{Outcome: "failed"}, func(r *Record) bool { return r.Outcome == "failed" }},
		{"cause", Filter{Cause: "vermagic"}, func(r *Record) bool { return r.Cause == "vermagic" }},
		{"user", Filter{User: "bob"}, func(r *Record) bool { return r.User == "bob" }},
		{"container", Filter{Container: "web"}, func(r *Record) bool { return r.Container == "web" }},
		{"file", Filter{File: "/lib/m4.ko"}, func(r *Record) bool { return r.File == "/lib/m4.ko" }},
		{"content", Filter{Content: "sha256:1"}, func(r *Record) bool { return r.Content == "sha256:1" }},
		{"uid", Filter{UID: &fourteen}, func(r *Record) bool { return r.UID != nil && *r.UID == 14 }},
		{"boot", Filter{Boot: "boot-2"}, func(r *Record) bool { return r.Boot == "boot-2" }},
		{"kind", Filter{Kinds: []Kind{KindLost}}, func(r *Record) bool { return r.Kind == KindLost }},
		{"kinds", Filter{Kinds: []Kind{KindLost, KindStarted}}, func(r *Record) bool { return r.Kind.Gap() }},
		{"since", Filter{Since: from}, func(r *Record) bool { return !r.Time.Before(from) }},
		{"until", Filter{Until: from}, func(r *Record) bool { return r.Time.Before(from) }},
		{"two", Filter{User: "bob", Container: "web"}, func(r *Record) bool { return r.User == "bob" && r.Container == "web" }},
		{"many", Filter{Module: "m0", Outcome: Live, Action: Load, Boot: "boot-1", Kinds: []Kind{KindAction}, Since: from},
			func(r *Record) bool { return r.Module == "m0" && r.Outcome == Live && !r.Time.Before(from) }},
		{"none", Filter{Module: "nobody"}, func(*Record) bool { return false }},
		{"future", Filter{Since: begin.AddDate(500, 0, 0)}, func(*Record) bool { return false }},
		{"past", Filter{Until: begin.AddDate(-500, 0, 0)}, func(*Record) bool { return false }},
		{"century", Filter{Since: begin.AddDate(-500, 0, 0), Until: begin.AddDate(500, 0, 0)}, func(*Record) bool { return true }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var want []int64
			for i := range records {
				if c.fits(&records[i]) {
					want = append(want, records[i].Seq)
				}
			}
			c.f.OldestFirst = true
			if diff := cmp.Diff(want, seqsOf(collect(t, j.Reader, c.f))); diff != "" {
				t.Error("oldest first:", diff)
			}
			slices.Reverse(want)
			c.f.OldestFirst, c.f.Limit = false, 7
			if diff := cmp.Diff(want[:min(7, len(want))], seqsOf(collect(t, j.Reader, c.f))); diff != "" && len(want) > 0 {
				t.Error("the newest seven:", diff)
			}
		})
	}
}

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
