package render

import (
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/calls"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"golang.org/x/sys/unix"
)

// TestCalls: the path, what was not told, the tree, what is slow, and the limits.
func TestCalls(t *testing.T) {
	reset := calls.Call{Function: "hw_reset", Own: true, Returned: true, Type: calls.Int, Errno: unix.ETIMEDOUT, ErrnoName: "ETIMEDOUT", Took: time.Millisecond, OwnTime: time.Millisecond, Defined: "x.c:7", CalledAt: "x.c:9"}
	probe := calls.Call{Function: "x_probe", Own: true, Returned: true, Type: calls.Int, Errno: unix.ETIMEDOUT, ErrnoName: "ETIMEDOUT", Took: 2 * time.Millisecond, OwnTime: time.Millisecond, Calls: []*calls.Call{&reset}}
	hung := calls.Call{Function: "msleep", Type: calls.Void, Caller: "x_exit+0x7"}
	failed := &calls.Report{Module: "x", Path: []calls.Step{{Call: probe}, {Call: reset}}, Threads: []*calls.Thread{{ID: 7, Calls: []*calls.Call{&probe}}}, Probes: 9, CallCost: 20 * time.Microsecond}
	for name, c := range map[string]struct {
		r    *calls.Report
		view CallsView
		want []string
	}{
		"a path":   {failed, CallsView{}, []string{"  calls      x_probe → hw_reset returned -110 ETIMEDOUT, x.c:7, called at x.c:9", "  probes     9 probes; times include their cost, at most about 20µs a call"}},
		"all":      {failed, CallsView{Tree: true, Slow: true}, []string{"  slow       1.0ms by itself in hw_reset, x.c:7", "  thread     7", "  x_probe  = -110 ETIMEDOUT  2.0ms", "    hw_reset  = -110 ETIMEDOUT  1.0ms  x.c:9"}},
		"not told": {&calls.Report{Module: "x", Swallowed: [][]calls.Step{{{Call: probe}}}, Threads: failed.Threads}, CallsView{}, []string{"  calls      x_probe returned -110 ETIMEDOUT, which the init was not told"}},
		"no error": {&calls.Report{Module: "x", Threads: failed.Threads}, CallsView{}, []string{"  calls      the init returned no error"}},
		"nothing":  {&calls.Report{Module: "x"}, CallsView{}, []string{"  calls      none: no probed function of x ran"}},
		"it hangs": {&calls.Report{Module: "x", Part: calls.Exit, Open: []calls.Step{{Call: hung}}, Threads: []*calls.Thread{{ID: 7, Calls: []*calls.Call{&hung}}}}, CallsView{Tree: true}, []string{"  calls      not returned: msleep, called at x_exit+0x7", "  msleep  not seen to return"}},
		"limits":   {&calls.Report{Module: "x", LeftOut: 3, Lost: 2, MissedReturns: 1, Unseen: []calls.Unseen{{Function: "a", Why: "notrace"}, {Function: "b", Why: "notrace"}}}, CallsView{}, []string{"  left out   3 beyond the bound of probes", "  lost       2 events; the kernel missed 1 return", "  not seen   a, b: notrace"}},
	} {
		text := NewResultText(term.Theme{}, 120)
		got := text.Text(text.Calls(c.r, c.view))
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %q in\n%s", name, want, got)
			}
		}
	}
	if lines := NewResultText(term.Theme{}, 80).Calls(nil, CallsView{}); lines != nil {
		t.Errorf("without a report: %v", lines)
	}
}
