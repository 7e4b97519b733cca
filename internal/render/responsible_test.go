package render

import (
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/sample"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// TestBy: the screen names who is responsible by the rule of the journal, also where events
// were lost, and users as they were called when it was recorded.
func TestBy(t *testing.T) {
	load, _ := sample.Requested()
	lost := load
	lost.Requester = &tracer.Requester{ID: 7, Thread: tracer.Thread{PID: 13, UID: 1, Comm: "ip"}}
	unseen := load
	unseen.Requester = nil
	unnamed := load
	unnamed.Requester = &tracer.Requester{ID: 7, Actor: sample.LoggedIn("ip", 13)}
	unnamed.Requester.Actor.LoginUser = ""
	names := Users{0: "root", 1: "alice"}
	for name, test := range map[string]struct {
		a    *tracer.Action
		want string
	}{
		"requested":           {&load.Action, "alice: … › ip[13]"},
		"actor lost":          {&lost.Action, "alice: ip[13]"},
		"request not seen":    {&unseen.Action, "unknown: modprobe[21]"},
		"not named by record": {&unnamed.Action, "1: … › ip[13]"},
	} {
		if got := names.by(test.a, 18); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
