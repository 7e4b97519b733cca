package render

import (
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/diag"
	"github.com/kmodtrace/kmodtrace/tracer"
)

func TestTally(t *testing.T) {
	var none Tally
	if got := none.Text(false); got != "saw no action of the kernel with modules" {
		t.Errorf("%q", got)
	}
	var some Tally
	for _, a := range []tracer.Action{
		{Kind: tracer.Load, Outcome: tracer.Live}, {Kind: tracer.Load, Outcome: tracer.Failed},
		{Kind: tracer.Unload, Outcome: tracer.Unloaded}, {Kind: tracer.Autoload, Outcome: tracer.Pending},
	} {
		some.Action(&a)
	}
	if got, want := some.Text(false), "saw 2 loads, 1 unload and 1 request (1 failed, 1 not ended), showed 0"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	some.Shown = 4
	if got := some.Text(false); strings.Contains(got, "showed") {
		t.Errorf("all was shown: %q", got)
	}
	if got := (&Tally{Events: 1, Shown: 1}).Text(true); got != "saw 1 event, showed 1" {
		t.Errorf("%q", got)
	}
}

func TestLossText(t *testing.T) {
	if got := LossText(tracer.Loss{}); got != "lost nothing" {
		t.Errorf("%q", got)
	}
	l := tracer.Loss{Events: 1, Untracked: 2, Missed: 3, MissedBy: map[string]uint64{"b": 1, "a": 2}, Dropped: 4}
	if got, want := LossText(l), "lost 1 event, 2 untracked attempts, 3 probe runs (a: 2, b: 1), 4 unfinished actions"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestSayReady: what is not seen is said, one line each, whatever the verifier wrote.
func TestSayReady(t *testing.T) {
	c := tracer.Coverage{
		Backend: tracer.Kprobe, WhyKprobe: "no\nBTF\x1b[2J",
		Hooks: []tracer.HookStatus{
			{Target: "load_module", How: "kprobe", Attached: true},
			{Target: "gone", How: "kprobe", Need: tracer.Optional, Absent: true, Tells: "the stage verify"},
			{Target: "refused", How: "kprobe", Need: tracer.Optional, Tells: "messages", Why: strings.Repeat("verifier\n", 1000)},
			{Target: "not here", How: "kprobe", Need: tracer.WherePresent, Absent: true, Tells: "32-bit calls"},
		},
	}
	var out strings.Builder
	log := diag.New(diag.Text, &out)
	SayReady(&log, c, 412*time.Millisecond)
	text := out.String()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines: %q", len(lines), text)
	}
	for i, want := range []string{
		"kmodtrace: ready: 1 hook attached in 412ms, backend kprobe (no fentry: ",
		"kmodtrace: not seen: the stage verify (kprobe of gone: this kernel has no such function)",
		"kmodtrace: not seen: messages (kprobe of refused: verifier",
	} {
		if !strings.HasPrefix(lines[i], want) || len(lines[i]) > 600 || strings.Contains(lines[i], "\x1b") {
			t.Errorf("line %d: %q", i, lines[i])
		}
	}
}
