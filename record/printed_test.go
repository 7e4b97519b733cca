package record

import (
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/oops"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// TestPrinted: a report stands at its place among the messages, at its time, also of a record of an
// earlier release, and of one whose messages were shortened.
func TestPrinted(t *testing.T) {
	messages := []string{"x: begins", "------------[ cut here ]------------", "WARNING: CPU: 0 PID: 9 at x.c:7 x_init+0x1/0x20 [x]", "Call Trace:", " x_init+0x2/0x20 [x]", "---[ end trace 0 ]---", "x: two\nlines"}
	var times []time.Duration
	for i := range messages {
		times = append(times, time.Duration(i+1))
	}
	r := New(&tracer.Action{Messages: messages, MessageTimes: times})
	if len(r.Reports) != 1 || r.Reports[0].Kind != oops.Warning || r.Reports[0].After == nil || *r.Reports[0].After != 2 {
		t.Fatalf("%+v", r.Reports)
	}
	const want = "x: begins @1|warning in x_init+0x1 [x], x.c:7 @2|x: two\nlines @7"
	text := func(r *Record) string {
		var all []string
		for _, p := range r.Printed() {
			at := "?"
			if p.Timed {
				at = string(rune('0' + p.After))
			}
			all = append(all, p.Text+" @"+at)
		}
		return strings.Join(all, "|")
	}
	if got := text(&r); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	earlier := Record{Action: r.Action}
	if got := text(&earlier); got != want {
		t.Errorf("of an earlier release: %q", got)
	}
	short := r
	short.Messages, short.MessageTimes = []string{"x: begins", "…"}, []time.Duration{1}
	if got := text(&short); got != "warning in x_init+0x1 [x], x.c:7 @2|x: begins @?|… @?" {
		t.Errorf("shortened: %q", got)
	}
	if got := text(&Record{}); got != "" {
		t.Errorf("of nothing: %q", got)
	}
}
