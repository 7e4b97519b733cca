package tracer

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// describeAwaited gives a chain in one line.
func describeAwaited(w *Awaited) string {
	var parts []string
	for ; w != nil; w = w.WaitsFor {
		text := fmt.Sprintf("%v %s", w.Kind, w.Module)
		if w.Stage != 0 {
			text += fmt.Sprintf(" at %v", w.Stage)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " < ")
}

// TestAwaited: what an action under way waits for, as the events of the others show.
func TestAwaited(t *testing.T) {
	const first = `
		1 10 enter-load
		2 10 file attempt=1 path=/m/a.ko ino=7
		3 10 read attempt=1
		4 10 verify attempt=1
		5 10 lookup attempt=1 name=a
		6 10 resolve attempt=1
	`
	const inInit = first + `
		7 10 init attempt=1
	`
	for name, test := range map[string]struct {
		script   string
		of       uint32 // the thread
		request  bool   // that thread's request, and not its load
		waits    string
		starting string
	}{
		"its own init":        {script: inInit, of: 10},
		"its request":         {script: inInit + "8 10 request name=b", of: 10, waits: "request b"},
		"a request, no load":  {script: inInit + "8 10 request name=b", of: 10, request: true},
		"a request, its load": {script: inInit + "8 10 request name=b\n9 20 enter-load\n10 20 ancestor of=9 for_request=8 process=modprobe.20.1\n11 20 read attempt=9", of: 10, request: true, waits: "load  at read"},
		"the whole chain": {script: inInit + `
			8 10 request name=b
			9 20 enter-load
			10 20 ancestor of=9 for_request=8 process=modprobe.20.1
			11 20 file attempt=9 path=/m/b.ko ino=8
			12 20 init attempt=9
			13 20 request name=c`, of: 10, waits: "request b < load b at init < request c"},
		"the same file":             {script: inInit + "8 20 enter-load\n9 20 file attempt=8 path=/m/a.ko ino=7", of: 20, waits: "load a at init"},
		"another file":              {script: inInit + "8 20 enter-load\n9 20 file attempt=8 path=/m/b.ko ino=8", of: 20},
		"the same file, but memory": {script: inInit + "8 20 enter-image\n9 20 file attempt=8 path=/m/a.ko ino=7", of: 20},
		"the same name":             {script: inInit + "8 20 enter-load\n9 20 verify attempt=8\n10 20 lookup attempt=8 name=a state=coming", of: 20, waits: "load a at init"},
		"the same name, live":       {script: inInit + "8 20 enter-load\n9 20 verify attempt=8\n10 20 lookup attempt=8 name=a state=live", of: 20},
		"the same name, not seen":   {script: "8 20 enter-load\n9 20 verify attempt=8\n10 20 lookup attempt=8 name=a state=coming", of: 20},
		"an unload of the name":     {script: "1 10 enter-unload name=a\n8 20 enter-load\n9 20 verify attempt=8\n10 20 lookup attempt=8 name=a state=going", of: 20, waits: "unload a"},
		"at resolve":                {script: inInit + "8 20 enter-load\n9 20 resolve attempt=8", of: 20, starting: "load a at init"},
		"at resolve, others too":    {script: first + "8 20 enter-load\n9 20 resolve attempt=8", of: 20},
		"at resolve, init is over":  {script: inInit + "8 10 init-return attempt=1 ret=0\n9 20 enter-load\n10 20 resolve attempt=9", of: 20},
		"each other":                {script: inInit + "8 10 request name=a\n9 20 enter-load\n10 20 ancestor of=9 for_request=8 process=modprobe.20.1\n11 20 file attempt=9 path=/m/a.ko ino=7", of: 10, waits: strings.TrimSuffix(strings.Repeat("request a < load a < load a at init < ", 3), " < load a at init < ")},
	} {
		t.Run(name, func(t *testing.T) {
			c := NewCorrelator(0)
			for _, e := range parseScript(t, test.script) {
				if done := c.Add(e); len(done) > 0 {
					t.Fatalf("it ended: %+v", done)
				}
			}
			a := c.attempts[test.of]
			if test.request {
				a = c.requests[test.of]
			}
			o := c.ongoing(a, time.Second, nil)
			if diff := cmp.Diff(test.waits, describeAwaited(o.WaitsFor)); diff != "" {
				t.Errorf("it waits for -want +got:\n%s", diff)
			}
			var starting []string
			for i := range o.Starting {
				starting = append(starting, describeAwaited(&o.Starting[i]))
			}
			if got := strings.Join(starting, ", "); got != test.starting {
				t.Errorf("starting %q, want %q", got, test.starting)
			}
		})
	}
}

// TestPreliminary: an action is given before its end once, as it is then, and what comes later does
// not change what was given; a stack counts only where the action stayed where it was.
func TestPreliminary(t *testing.T) {
	c := NewCorrelator(0)
	for _, e := range parseScript(t, "1 10 enter-load\n2 10 read attempt=1\n3 20 request name=b") {
		c.Add(e)
	}
	if early := c.lasting(5, 5); len(early) != 0 {
		t.Errorf("%d last too early", len(early))
	}
	late := c.lasting(8, 5)
	if len(late) != 2 || late[0].Kind != Load || late[1].Kind != Autoload {
		t.Fatalf("%+v", late)
	}
	given := c.preliminary(late[0], 7, []string{"msleep+0x1/0x2"})
	if !given.Preliminary || given.Outcome != Pending || given.Ongoing.After != 6 || len(given.Ongoing.Stack) != 1 {
		t.Errorf("%+v, %+v", given, given.Ongoing)
	}
	if again := c.lasting(100, 5); len(again) != 1 || again[0].Kind != Autoload {
		t.Errorf("given again: %+v", again)
	}
	c.Add(parseScript(t, "9 10 verify attempt=1")[0])
	if given.Stage != StageRead || len(given.Stages) != 1 || given.Stages[0].Took != 0 {
		t.Errorf("changed after it was given: %+v", given.Stages)
	}
	if moved := c.soFar(late[0], 8, []string{"msleep+0x1/0x2"}); moved.Ongoing.Stack != nil {
		t.Errorf("a stack of before: %q", moved.Ongoing.Stack)
	}
	done := c.Add(parseScript(t, "10 10 leave-load attempt=1 ret=0")[0])
	if len(done) != 1 || done[0].Preliminary || done[0].Ongoing != nil || done[0].ID != given.ID || done[0].Outcome != Live {
		t.Errorf("%+v", done)
	}
}

func TestParseStack(t *testing.T) {
	for text, want := range map[string][]string{
		"[<0>] msleep+0x2d/0x40\n[<0>] nap_init+0x1c/0x1000 [nap]\n[<0>] do_one_initcall+0x58/0x310\n": {"msleep+0x2d/0x40", "nap_init+0x1c/0x1000 [nap]", "do_one_initcall+0x58/0x310"},
		"[<0>] a+0x1/0x2\n[<0>] 0xffffffffffffffff\n":                                                  {"a+0x1/0x2"},
		"":                        nil,
		"\n":                      nil,
		"no stack at all\n":       nil,
		"[<0>] \n[<0>] a+0x1/0x2": nil,
	} {
		if diff := cmp.Diff(want, parseStack([]byte(text))); diff != "" {
			t.Errorf("%q: -want +got:\n%s", text, diff)
		}
	}
	if n := len(parseStack([]byte(strings.Repeat("[<0>] a+0x1/0x2\n", 1000)))); n != maxFrames {
		t.Errorf("%d frames are kept", n)
	}
}
