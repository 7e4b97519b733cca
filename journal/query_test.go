package journal

import (
	"fmt"
	"maps"
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
	many := []string{"m2", "m4"}
	for i := range maxListed {
		many = append(many, fmt.Sprint("other-", i))
	}
	cases := []struct {
		name string
		f    Filter
		fits func(*Record) bool
	}{
		{"all", Filter{}, func(*Record) bool { return true }},
		{"module", Filter{Modules: []string{"m3"}}, func(r *Record) bool { return r.Module == "m3" }},
		{"action", Filter{Actions: []string{Load}}, func(r *Record) bool { return r.Action == Load }},
		{"outcome", Filter{Outcomes: []string{"failed"}}, func(r *Record) bool { return r.Outcome == "failed" }},
		{"cause", Filter{Causes: []string{"vermagic"}}, func(r *Record) bool { return r.Cause == "vermagic" }},
		{"user", Filter{Users: []string{"bob"}}, func(r *Record) bool { return r.User == "bob" }},
		{"container", Filter{Containers: []string{"web"}}, func(r *Record) bool { return r.Container == "web" }},
		{"file", Filter{Files: []string{"/lib/m4.ko"}}, func(r *Record) bool { return r.File == "/lib/m4.ko" }},
		{"content", Filter{Contents: []string{"sha256:1"}}, func(r *Record) bool { return r.Content == "sha256:1" }},
		{"uid", Filter{UID: &fourteen}, func(r *Record) bool { return r.UID != nil && *r.UID == 14 }},
		{"boot", Filter{Boots: []string{"boot-2"}}, func(r *Record) bool { return r.Boot == "boot-2" }},
		{"kind", Filter{Kinds: []Kind{KindLost}}, func(r *Record) bool { return r.Kind == KindLost }},
		{"kinds", Filter{Kinds: []Kind{KindLost, KindStarted}}, func(r *Record) bool { return r.Kind.Gap() }},
		{"since", Filter{Since: from}, func(r *Record) bool { return !r.Time.Before(from) }},
		{"until", Filter{Until: from}, func(r *Record) bool { return r.Time.Before(from) }},
		{"two", Filter{Users: []string{"bob"}, Containers: []string{"web"}}, func(r *Record) bool { return r.User == "bob" && r.Container == "web" }},
		{"many", Filter{Modules: []string{"m0"}, Outcomes: []string{Live}, Actions: []string{Load}, Boots: []string{"boot-1"}, Kinds: []Kind{KindAction}, Since: from},
			func(r *Record) bool { return r.Module == "m0" && r.Outcome == Live && !r.Time.Before(from) }},
		{"modules", Filter{Modules: []string{"m3", "m1", "nobody"}}, func(r *Record) bool { return r.Module == "m3" || r.Module == "m1" }},
		{"users and outcomes", Filter{Users: []string{"bob", "alice"}, Outcomes: []string{"failed", Live}, Since: from},
			func(r *Record) bool {
				return (r.User == "bob" || r.User == "alice") && (r.Outcome == "failed" || r.Outcome == Live) && !r.Time.Before(from)
			}},
		{"boots", Filter{Boots: []string{"boot-2", "boot-1"}, Kinds: []Kind{KindAction, KindStarted}},
			func(r *Record) bool { return r.Kind == KindAction || r.Kind == KindStarted }},
		{"more than a statement takes", Filter{Modules: many, Users: []string{"bob"}},
			func(r *Record) bool { return r.User == "bob" && slices.Contains(many, r.Module) }},
		{"none", Filter{Modules: []string{"nobody"}}, func(*Record) bool { return false }},
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
