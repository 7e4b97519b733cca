package trial

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/lab"
	"github.com/kmodtrace/kmodtrace/internal/lab/guest"
)

// toldTeller is one that was told of a plan of two rounds of one file.
func toldTeller(lines ...string) *teller {
	p := Plan{Files: []string{"/home/x.ko"}, Times: 2, Patience: time.Second, Command: []string{"true"}}
	t := newTeller(p, []string{"/trial/1/x.ko"}, func(time.Duration) {})
	for _, line := range lines {
		_, _ = io.WriteString(t, line+"\n")
	}
	return t
}

const (
	readyLine = `{"round":0,"step":"prepare","ready":{"release":"6.12","taints":0,"tracks_allocations":true}}`
	doneLine  = `{"round":0,"step":"done"}`
)

// TestHowSays: that the machine failed is said with a reason, also where nobody gave one.
// Once the guest is ready, what happens there is no failure of the machine's.
func TestHowSays(t *testing.T) {
	for complaint, want := range map[string]string{
		"":                      "in the machine: what carries out the plan ended by itself, with status 137",
		"one\nkmodtrace: two\n": "in the machine: kmodtrace: two",
	} {
		_, err := how(t.Context(), nil, 137, complaint, toldTeller())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", complaint, err)
		}
	}
	crash := &lab.CrashError{Reason: "no end within 1s"}
	for name, c := range map[string]struct {
		err    error
		status int
		lines  []string
		want   Ended
	}{
		"killed":    {nil, 137, nil, Ended{Broken: "what carries out the plan ended by itself, with status 137"}},
		"no answer": {crash, -1, nil, Ended{Silent: true}},
		"garbage":   {&lab.CrashError{Err: guest.ErrGarbage}, -1, nil, Ended{Broken: "what the machine sent is not what a machine of the lab sends"}},
		"panic":     {&lab.CrashError{Reason: "kernel panic: x"}, -1, nil, Ended{Panic: "x"}},
		"trouble":   {errors.New("a\nb"), 0, nil, Ended{Broken: "the machine failed: a; b"}},
		"done":      {crash, -1, []string{doneLine}, Ended{}},
	} {
		got, err := how(t.Context(), c.err, c.status, "", toldTeller(append([]string{readyLine}, c.lines...)...))
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// TestTellerRefuses: what a plan does not allow is the last that is heard of a guest, and
// the machine is stopped.
func TestTellerRefuses(t *testing.T) {
	for line, why := range map[string]string{
		"":                                       "not an event",
		"\x00":                                   "not an event",
		`{"round":"x"}`:                          "not an event",
		`{"round":1,"step":"fly","begins":true}`: "not a step",
		`{"round":1,"step":"load","target":"/trial/1/x.ko"}`:                          "not a step",
		`{"round":1,"step":"look","begins":true,"left":{"taints":0}}`:                 "not a step",
		`{"round":3,"step":"look","left":{"taints":0}}`:                               "a round",
		`{"round":-1,"step":"look","left":{"taints":0}}`:                              "a round",
		`{"round":1,"step":"done"}`:                                                   "a round",
		`{"round":1,"step":"load","target":"/etc/passwd","begins":true}`:              "a file that",
		`{"round":1,"step":"look","target":"/trial/1/x.ko","begins":true}`:            "a file where",
		`{"round":1,"step":"unload","target":"/trial/1/x.ko","command":{"status":0}}`: "not of that step",
		`{"round":1,"step":"look","error":"x"}`:                                       "not of that step",
		`{"round":0,"step":"prepare","error":"x"}`:                                    "out of its order",
		readyLine: "out of its order", // or all taints until then would be nobody's
	} {
		told := toldTeller(readyLine)
		stopped := false
		told.within = func(d time.Duration) { stopped = d == 0 }
		_, _ = io.WriteString(told, line+"\n"+doneLine+"\n")
		if !strings.Contains(told.broken, why) || !stopped || told.done || len(told.broken) > 1000 {
			t.Errorf("%q: %q, stopped %t, done %t", line, told.broken, stopped, told.done)
		}
	}
	if told := toldTeller(`{"round":1,"step":"look","left":{"taints":0}}`); !strings.Contains(told.broken, "out of its order") {
		t.Errorf("before it is ready: %q", told.broken)
	}
	if told := toldTeller(`{"round":0,"step":"prepare","error":"no BTF"}`); told.err == nil || told.broken != "" {
		t.Errorf("an error: %v, %q", told.err, told.broken)
	}
}

// TestTellerFloods: neither an endless line nor endless events take memory or go on.
func TestTellerFloods(t *testing.T) {
	told := toldTeller(readyLine)
	chunk := strings.Repeat("x", 1<<20)
	for range 64 {
		_, _ = io.WriteString(told, chunk)
	}
	if !strings.Contains(told.broken, "more than") || cap(told.line) > 4*maxEvent {
		t.Errorf("an endless line: %q, %d bytes are kept", told.broken, cap(told.line))
	}
	told = toldTeller(readyLine)
	for range 1000 {
		_, _ = io.WriteString(told, `{"round":1,"step":"look","begins":true}`+"\n")
	}
	if !strings.Contains(told.broken, "more than its plan has") || told.events > told.most()+1 {
		t.Errorf("endless events: %q after %d", told.broken, told.events)
	}
}

// TestForgedNumbers: what is judged of them can be shown.
func TestForgedNumbers(t *testing.T) {
	var lines []string
	for round := 1; round <= 2; round++ {
		for i := range 3 {
			lines = append(lines, fmt.Sprintf(`{"round":%d,"step":"load","target":"/trial/1/x.ko","result":{"result":"refused","errno_name":"E%d%s","actions":[]}}`, round, i, strings.Repeat("x", 1000)))
		}
		lines = append(lines, fmt.Sprintf(`{"round":%d,"step":"command","command":{"status":-5,"took_ns":-9223372036854775808,"output":%q}}`, round, strings.Repeat("x", 100_000)),
			fmt.Sprintf(`{"round":%d,"step":"look","left":{"entries":["%s"],"taints":18446744073709551615}}`, round, strings.Repeat(`x","`, 2000)))
	}
	told := toldTeller(append([]string{readyLine}, lines...)...)
	r := told.judge.judge(Console{}, Ended{})
	text, err := json.Marshal(r)
	if told.broken != "" || err != nil || r.Command.Took.Min < 0 || len(r.Left.Entries) != maxLeft || r.Left.LeftOut != 1001 || len(text) > 1<<20 || len(r.Why) > 2*maxWhy {
		t.Errorf("%q, %v, %d bytes: %.2000s", told.broken, err, len(text), text)
	}
}

// FuzzTeller: whatever the guest and its console say, there is a verdict, and it is good
// only after all steps.
func FuzzTeller(f *testing.F) {
	f.Add([]byte(readyLine+"\n"+doneLine+"\n"), []byte("BUG: unable to handle\n"))
	f.Add([]byte(readyLine+"\n"+`{"round":1,"step":"load","target":"/trial/1/x.ko","result":{"result":"confirmed","actions":[{"kind":"load","module":"x","outcome":"live","took_ns":-1,"stages":[{"stage":"init","took_ns":1}]}]}}`+"\n"),
		[]byte((&Event{Round: 1, Step: StepLoad}).Mark()+"\nOut of memory: Killed process 1 (x)\n f+0x1/0x2 [x]\n"))
	f.Fuzz(func(t *testing.T, said, printed []byte) {
		told := toldTeller()
		_, _ = told.Write(said)
		console := newConsoleParser()
		_, _ = console.Write(printed)
		r := told.judge.judge(console.end(), Ended{Broken: told.broken})
		if r.Verdict == Passed && (r.Rounds != 2 || told.events < 10) {
			t.Errorf("passed: %+v", r)
		}
		if _, err := json.Marshal(r); err != nil {
			t.Error(err)
		}
	})
}
