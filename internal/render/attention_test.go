package render

import (
	"testing"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// TestAttention: what is counted is said once, what disturbs once for as long as it lasts.
func TestAttention(t *testing.T) {
	names := Users{1000: "alice", 33: "www-data", 7: "7", 8: "8"}
	a := &attention{names: names, counts: make(map[tracer.Folded]uint64), said: make(map[string]bool), times: make(map[string]uint64)}
	folded := []tracer.Folded{
		{UID: 33, Kind: tracer.Load, Count: 5}, {UID: 1000, Kind: tracer.Unload, Count: 1000},
	}
	if got, want := a.news(folded), "1000 refused unloads by alice, 5 refused loads by www-data"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := a.news(folded); got != "" {
		t.Errorf("nothing new: %q", got)
	}
	folded[0].Count++
	folded = append(folded, tracer.Folded{Others: true, Kind: tracer.Autoload, Count: 9},
		tracer.Folded{UID: 7, Kind: tracer.Load, Count: 3}, tracer.Folded{UID: 8, Kind: tracer.Load, Count: 2})
	if got, want := a.news(folded), "3 refused loads by 7, 2 refused loads by 8, 10 more by others"; got != want {
		t.Errorf("%q, want %q", got, want)
	}

	state := tracer.Disturbance{What: "kprobes", Why: "are off"}
	counted := tracer.Disturbance{What: "kprobes", Why: "somebody switched them off", Count: 1}
	for i, step := range []struct{ now, want []tracer.Disturbance }{
		{nil, nil},
		{[]tracer.Disturbance{state, counted}, []tracer.Disturbance{state, counted}},
		{[]tracer.Disturbance{state, counted}, nil},
		{[]tracer.Disturbance{counted}, nil},
		{[]tracer.Disturbance{state, counted}, []tracer.Disturbance{state}},
		{[]tracer.Disturbance{{What: "kprobes", Why: counted.Why, Count: 2}}, []tracer.Disturbance{{What: "kprobes", Why: counted.Why, Count: 2}}},
	} {
		if got := a.disturbed(step.now); len(got) != len(step.want) || len(got) > 0 && got[0] != step.want[0] {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
}
