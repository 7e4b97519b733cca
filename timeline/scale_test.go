package timeline

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// stagedAction is a load whose stages take so long, one after the other.
func stagedAction(took ...time.Duration) *Action {
	var of record.Record
	of.Kind, of.Outcome, of.End = tracer.Load, tracer.Live, 1
	for i, d := range took {
		of.Stages = append(of.Stages, tracer.StageTime{Stage: tracer.StageRead + tracer.Stage(i), After: of.Took, Took: d})
		of.Took += d
	}
	return New([]record.Record{of}).Main
}

// TestScaleOrder: later is never further left, longer never drawn shorter, and outside a
// break the same time takes the same place wherever it is.
func TestScaleOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var took []time.Duration
		for range 1 + random.IntN(8) {
			took = append(took, time.Duration(1+random.Int64N(1<<random.IntN(40))))
		}
		a := stagedAction(took...)
		s := newScale(a)
		var longest, drawn float64
		last := 0.0
		for _, span := range a.Spans {
			from, to := s.at(span.After), s.at(span.After+span.Took)
			if from < last-1e-9 || to < from || to > 1+1e-9 {
				t.Fatalf("%v: %s from %v to %v, after %v", took, span.Name, from, to, last)
			}
			if length := float64(span.Took); length > longest {
				longest, drawn = length, to-from
			}
			if rate := (to - from) / float64(span.Took); span.After != s.from || !s.broken() {
				if rate/s.rate() < 0.999 || rate/s.rate() > 1.001 {
					t.Fatalf("%v: %s is drawn at %v, and not at %v", took, span.Name, rate, s.rate())
				}
			}
			last = to
		}
		for _, span := range a.Spans {
			if length := s.at(span.After+span.Took) - s.at(span.After); length > drawn+1e-9 {
				t.Fatalf("%v: %s is drawn longer than the longest, %v of %v", took, span.Name, length, drawn)
			}
		}
	}
}

func TestScaleBreaks(t *testing.T) {
	ms := time.Millisecond
	for name, test := range map[string]struct {
		took   []time.Duration
		broken bool
	}{
		"alike":           {[]time.Duration{ms, ms, ms}, false},
		"four fifths":     {[]time.Duration{ms, 8 * ms, ms}, false},
		"a little more":   {[]time.Duration{ms, 9 * ms, ms}, true},
		"99.9 percent":    {[]time.Duration{ms, 1998 * ms, ms}, true},
		"nothing else":    {[]time.Duration{ms}, false},
		"only one beside": {[]time.Duration{ms, 1000 * ms}, false},
	} {
		if got := newScale(stagedAction(test.took...)); got.broken() != test.broken {
			t.Errorf("%s: broken %v", name, got.broken())
		}
	}
}

func TestTicks(t *testing.T) {
	for _, test := range []struct {
		total time.Duration
		want  []string
	}{
		{0, []string{"0"}},
		{3, []string{"0", "1ns", "2ns", "3ns"}},
		{999 * time.Microsecond, []string{"0", "200µs", "400µs", "600µs", "800µs"}},
		{1100 * time.Millisecond, []string{"0", "200ms", "400ms", "600ms", "800ms", "1.0s"}},
		{90 * time.Second, []string{"0", "20s", "40s", "60s", "80s"}},
	} {
		var got []string
		for _, tick := range (scale{total: test.total, end: 1}).ticks(0.18) {
			got = append(got, tick.label)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", test.total, diff)
		}
	}
}

// TestUnknown: what is not known is said, and drawn as that.
func TestUnknown(t *testing.T) {
	const file = "testdata/records/hello.json"
	for name, test := range map[string]struct {
		change func(*record.Record)
		doubt  string
		drawn  string
	}{
		"end": {func(a *record.Record) {
			a.Outcome, a.End, a.Took, a.EndLost = tracer.Pending, 0, 0, true
			a.Stages = a.Stages[:3]
			a.Stages[2].Took = 0
		}, "Its end was not seen: how long it took is not known.", "░"},
		"begin": {func(a *record.Record) { a.Partial = true }, "It began before the tracing did: what was before its first event is not known, and times count from that.", "░"},
		"stages": {func(a *record.Record) {
			a.Lost = 2
			a.Stages = append(a.Stages[:2], a.Stages[3:]...)
		}, "Not seen: resolve. What these took is in the stage before.", "between"},
		"no moments": {func(a *record.Record) { a.MessageTimes = nil }, "When its messages were printed was not recorded: they are listed, and not drawn.", " ?  "},
		"shared":     {func(a *record.Record) { a.SharedWith, a.Stages = 7, nil }, "The kernel gave it the result of another load of the same file, which has the stages.", "load"},
	} {
		p := readPicture(t, file, test.change)
		found := false
		for _, d := range p.Main.Doubts() {
			found = found || d == test.doubt
		}
		if !found {
			t.Errorf("%s: doubts %q", name, p.Main.Doubts())
		}
		for form, drawn := range forms(t, p) {
			if form == "svg" || form == "html" {
				checkMarkup(t, drawn)
			}
		}
		if text := plainText(p, nil); !strings.Contains(text, test.drawn) {
			t.Errorf("%s: drawn without %q:\n%s", name, test.drawn, text)
		}
	}
}
