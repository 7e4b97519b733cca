//go:build !race

package trial

import (
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/proof"
)

// TestForgedReports: a module that has the guest tell what is not so does not pass where
// the plan, the console or the machine's end say otherwise.
func TestForgedReports(t *testing.T) {
	ready := Event{Step: StepPrepare, Ready: &ReadyGuest{Release: "6.12", Tracks: true}}
	load, unload, look, done := attempt(1, StepLoad, proof.Confirmed, nil), attempt(1, StepUnload, proof.Confirmed, nil), left(1, Leftovers{}), Event{Step: StepDone}
	command := Event{Round: 1, Step: StepCommand, Command: &Command{}}
	mark := func(round int, step Step) string { return (&Event{Round: round, Step: step}).Mark() + "\n" }
	begun := mark(0, StepPrepare) + mark(1, StepLoad)
	const oops = "BUG: unable to handle page fault for address: 1\nRIP: 0010:x_init+0x8/0x40 [x]\n"
	const warning = "WARNING: CPU: 0 PID: 1 at x.c:1 x_exit+0x8/0x40 [x]\n"
	all := []Event{ready, load, command, unload, look, done}
	for name, c := range map[string]struct {
		events  []Event
		console string
		ended   Ended
		want    Verdict
	}{
		"all is well":                  {all, begun + mark(1, StepLook) + mark(0, StepDone), Ended{}, Passed},
		"done at once":                 {[]Event{ready, done}, begun, Ended{}, HungUp},
		"nothing":                      {nil, "", Ended{}, HungUp},
		"not done":                     {all[:5], begun, Ended{}, HungUp},
		"no load":                      {[]Event{ready, command, unload, look, done}, begun, Ended{}, HungUp},
		"no unload":                    {[]Event{ready, load, command, look, done}, begun, Ended{}, HungUp},
		"no command":                   {[]Event{ready, load, unload, look, done}, begun, Ended{}, HungUp},
		"no look":                      {[]Event{ready, load, command, unload, done}, begun, Ended{}, HungUp},
		"well, and it panicked":        {all[:5], begun + "Kernel panic - not syncing: x\n", Ended{Panic: "x"}, Panicked},
		"well, and it broke":           {all, begun, Ended{Broken: "it reported what is not an event"}, HungUp},
		"an oops":                      {all, begun + oops, Ended{}, Crashed},
		"an oops as if before":         {all, begun + mark(0, StepPrepare) + oops, Ended{}, Crashed},
		"an oops as if after":          {all, begun + mark(0, StepDone) + oops, Ended{}, Crashed},
		"a warning as if after":        {all, begun + mark(0, StepDone) + warning, Ended{}, Warned},
		"an oops behind a flood":       {all, begun + strings.Repeat("x: all is well\n", 100_000) + oops, Ended{}, Crashed},
		"an oops behind many warnings": {all, begun + strings.Repeat(warning, 1000) + oops, Ended{}, Crashed},
	} {
		p := Plan{Files: []string{"x.ko"}, Times: 1, Patience: time.Second, Command: []string{"true"}}
		if r := Judge(p, c.events, ReadConsole(c.console), c.ended); r.Verdict != c.want {
			t.Errorf("%s: %s, %q; want %s", name, r.Verdict, r.Why, c.want)
		}
	}
}
