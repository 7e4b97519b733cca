package journal

import (
	"fmt"
	"testing"
)

// TestPending: a record of an action that had not ended is shown until the journal has the end. It is not a
// gap, and does not change which modules count as loaded. Both records stay in the chain.
func TestPending(t *testing.T) {
	j := make1(t)
	before := func(r Record) Record {
		r.Kind, r.Outcome, r.ID = KindPending, Pending, r.ID+PendingSuffix
		return r
	}
	ended, stuck := load(1, "a"), load(2, "b")
	add(t, j, before(ended), before(stuck), ended)
	for _, c := range []struct {
		filter Filter
		want   string
	}{
		{Filter{OldestFirst: true}, "[1 2 3]"},
		{Filter{Final: true, OldestFirst: true}, "[2 3]"},
		{Filter{Final: true}, "[3 2]"},
		{Filter{Final: true, Limit: 1, OldestFirst: true}, "[2]"},
		{Filter{Final: true, Kinds: []Kind{KindPending}}, "[2]"},
		{Filter{Final: true, Outcomes: []string{Pending}}, "[2]"},
		{Filter{Final: true, Modules: []string{"a", "b"}, OldestFirst: true}, "[2 3]"},
		{Filter{Final: true, Modules: []string{"a"}}, "[3]"},
	} {
		var got []Record
		for r, err := range j.Query(t.Context(), c.filter) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, r)
		}
		if text := fmt.Sprint(seqsOf(got)); text != c.want {
			t.Errorf("%+v: %s, want %s", c.filter, text, c.want)
		}
	}
	loaded, err := j.LoadedAt(t.Context(), stuck.Time.AddDate(0, 0, 1))
	if err != nil || fmt.Sprint(namesOf(loaded)) != "[a]" {
		t.Errorf("loaded: %+v, %v", loaded, err)
	}
	if KindPending.Gap() {
		t.Error("it is a gap")
	}
	if r := before(stuck); r.class() != ClassNormal {
		t.Errorf("class %d", r.class())
	}
	verify(t, j.Reader)
}
