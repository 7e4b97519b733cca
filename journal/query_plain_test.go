//go:build !race

package journal

import (
	"fmt"
	"slices"
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
