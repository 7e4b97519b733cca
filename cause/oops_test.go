package cause

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// warned is what a WARN in an init prints, in short.
func warned(text string) []string {
	return said("------------[ cut here ]------------", text, "WARNING: CPU: 0 PID: 9 at /src/x.c:7 x_check+0x1/0x20 [x]", "Modules linked in: x(O+)",
		"CPU: 0 PID: 9 Comm: insmod Not tainted 6.1.0 #1", "RIP: 0010:x_check+0x1/0x20 [x]", "Call Trace:", " <TASK>", " ? y_guess+0x1/0x2 [y]", " x_init+0x2/0x30 [x]", " </TASK>",
		"---[ end trace 0000000000000000 ]---")
}

// TestReported: what the kernel reported of a load that went on is a warning, and of one that failed it
// is not the cause.
func TestReported(t *testing.T) {
	x := NewExplainer(ordinary().open(t), nil)
	live := tracer.Action{Kind: tracer.Load, Module: "x", Outcome: tracer.Live, Messages: warned("x: the device is broken")}
	e := x.Explain(t.Context(), live)
	if e.Cause != nil || len(e.Warnings) != 1 {
		t.Fatalf("%+v", e)
	}
	w := &e.Warnings[0]
	checkCause(t, w, KernelReported, `a warning in x_check [x] (x.c:7): "x: the device is broken"`)
	if w.Names["source"] != "/src/x.c:7" || w.Names["report"] != "warning" || !slices.ContainsFunc(w.Evidence, func(s string) bool { return strings.Contains(s, "called by x_init+0x2 [x]") }) {
		t.Errorf("%+v", w)
	}

	unload := tracer.Action{Kind: tracer.Unload, Module: "x", Outcome: tracer.Unloaded, Messages: warned("x: busy")}
	if e := x.Explain(t.Context(), unload); len(e.Warnings) != 1 || e.Warnings[0].Code != KernelReported {
		t.Errorf("unload: %+v", e)
	}

	trace := live
	trace.Messages = said("CPU: 0 PID: 9 Comm: insmod Not tainted 6.1.0 #1", "Call Trace:", " x_init+0x2/0x30 [x]")
	if e := x.Explain(t.Context(), trace); len(e.Warnings) != 0 {
		t.Errorf("a backtrace alone: %+v", e)
	}

	many := live
	for range 9 {
		many.Messages = append(many.Messages, warned("again")...)
	}
	if e := x.Explain(t.Context(), many); len(e.Warnings) != maxReported || !strings.Contains(strings.Join(e.Warnings[maxReported-1].Evidence, "; "), "and 7 more") {
		t.Errorf("ten: %+v", e.Warnings)
	}
}

// TestSaidBesideReports: the reason is the module's last word, and not a line of a trace.
func TestSaidBesideReports(t *testing.T) {
	x := NewExplainer(ordinary().open(t), nil)
	returned := int64(-22)
	for name, c := range map[string]struct {
		messages []string
		says     string
	}{
		"words after it":       {append(warned("x: broken"), "x: cannot go on"), `"x: cannot go on"`},
		"words before it":      {append(said("x: cannot go on"), warned("")...), `"x: cannot go on"`},
		"the text of the last": {append(said("x: begins"), warned("x: broken")...), `"x: broken"`},
	} {
		e := x.Explain(t.Context(), tracer.Action{
			Kind: tracer.Load, Module: "x", Outcome: tracer.Failed, Errno: unix.EINVAL, ErrnoName: "EINVAL", Stage: tracer.StageInit, InitResult: &returned, Messages: c.messages,
		})
		if e.Cause == nil || e.Cause.Code != InitRefused || !strings.Contains(e.Cause.Text, c.says) || strings.Contains(e.Cause.Text, "0x") {
			t.Errorf("%s: %+v", name, e.Cause)
		}
		if len(e.Warnings) != 1 || e.Warnings[0].Code != KernelReported {
			t.Errorf("%s: %+v", name, e.Warnings)
		}
	}
}
