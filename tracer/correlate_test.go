package tracer

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// Each file of testdata/correlate has events, a line "---", and the actions that
// they must give, in the order in which they are finished:
//
//	TIME TID KIND [ATTEMPT] [key=value …]
//
// Of the kind "release" is not an event but the passing of time without one, and of the kind
// "gone" none but that its thread is seen to do something else.
// The last actions, under "pending", are those that are left.
func TestCorrelate(t *testing.T) {
	files, err := filepath.Glob("testdata/correlate/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			script, want, found := strings.Cut(string(text), "---\n")
			if !found {
				t.Fatal("no line ---")
			}
			c := NewCorrelator(0)
			var got []string
			for _, e := range parseScript(t, script) {
				add := c.Add
				switch e.Kind {
				case 0:
					add = func(e Event) []Action { return c.Due(e.Time) }
				case kindGone:
					add = func(e Event) []Action { return c.end(overdueIn(c, e)) }
				}
				for _, a := range add(e) {
					got = append(got, describe(a))
				}
			}
			if pending := c.Pending(); len(pending) > 0 {
				got = append(got, "pending")
				for _, a := range pending {
					got = append(got, describe(a))
				}
			}
			if diff := cmp.Diff(strings.Split(strings.TrimSpace(want), "\n"), got); diff != "" {
				t.Errorf("actions (-want +got):\n%s", diff)
			}
		})
	}
}

// kindGone stands for no event.
const kindGone Kind = 1 << 15

// overdueIn gives what is overdue in the event's thread at its time.
func overdueIn(c *Correlator, e Event) []*Action {
	return slices.DeleteFunc(c.overdue(e.Time), func(a *Action) bool { return a.Thread.TID != e.Thread.TID })
}

// describe is an action in one line, with what is not the usual.
func describe(a Action) string {
	s := fmt.Sprintf("%s %q %s", a.Kind, a.Module, a.Outcome)
	add := func(format string, args ...any) { s += " " + fmt.Sprintf(format, args...) }
	if a.Errno != 0 {
		add("%s", a.ErrnoName)
	}
	if a.NameFrom != NameKernel {
		add("name-from=%s", a.NameFrom)
	}
	if a.Kind == Load && a.Stage != 0 && a.Outcome != Live {
		add("in=%s", a.Stage)
	}
	for _, flag := range []struct {
		name string
		set  bool
	}{{"crashed", a.Crashed}, {"partial", a.Partial}, {"end-lost", a.EndLost}, {"not-proven", a.Outcome != Pending && !a.Proven()}} {
		if flag.set {
			add("%s", flag.name)
		}
	}
	if a.SharedWith != 0 {
		add("shared=%d", a.SharedWith)
	}
	if a.Rival != 0 {
		add("rival=%d", a.Rival)
	}
	if f := a.FirstTry; f != nil {
		add("first-try=%d,%s,%s,%d", f.ID, f.Format, f.ErrnoName, int64(f.Took))
	}
	if len(a.Loads) > 0 {
		add("loads=%d", a.Loads)
	}
	if a.Actor != nil {
		add("by=%s", describeActor(a.Actor))
		if d := a.Actor.WorkingDirectory; d != nil {
			add("in-directory=%s", d.Path)
		}
	}
	for r := a.Requester; r != nil; r = r.Requester {
		add("for=%s,%s", r.Request.Name, describeActor(r.Actor))
	}
	for _, r := range a.AwaitedBy {
		add("awaited-by=%d", r.ID)
	}
	if a.Denial != nil {
		add("denied=%s,%s", a.Denial.Door, ErrnoName(a.Denial.Errno))
	}
	if l := a.Lookup; l != nil && l.Found {
		add("found=%s", l.State)
	}
	if r := a.Request; r != nil && (r.Denied || r.Refused) {
		add("request=%s", map[bool]string{true: "denied", false: "refused"}[r.Denied])
	}
	if a.Lost != 0 {
		add("lost=%d", a.Lost)
	}
	if a.Took != 0 {
		add("took=%d", int64(a.Took))
	}
	for _, m := range a.Messages {
		add("%q", m)
	}
	return s
}

func describeActor(a *Actor) string {
	if a == nil {
		return "?"
	}
	s := ""
	for _, p := range append([]Process{a.Process}, a.Ancestors...) {
		s = fmt.Sprintf("%s[%d]›", p.Comm, p.PID) + s
		if p.Exe != nil {
			s = p.Exe.Path + ":" + s
		}
	}
	s = strings.TrimSuffix(s, "›")
	if a.StartedBy != nil {
		s += ",started-by=" + describeActor(a.StartedBy)
	}
	return s
}

func parseScript(t *testing.T, script string) []Event {
	t.Helper()
	var events []Event
	for line := range strings.Lines(script) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		events = append(events, parseEvent(t, fields))
	}
	return events
}

func parseEvent(t *testing.T, fields []string) Event {
	t.Helper()
	values := make(map[string]string)
	for _, f := range fields[3:] {
		k, v, _ := strings.Cut(f, "=")
		values[k] = v
	}
	number := func(key string) int64 {
		n, err := strconv.ParseInt(values[key], 0, 64)
		if err != nil && values[key] != "" {
			t.Fatalf("%v: %v", fields, err)
		}
		return n
	}
	at, err := strconv.ParseInt(fields[0], 0, 64)
	if err != nil {
		t.Fatal(err)
	}
	tid, err := strconv.Atoi(fields[1])
	if err != nil {
		t.Fatal(err)
	}
	e := Event{Time: time.Duration(at), Attempt: ID(number("attempt"))}
	e.Thread = Thread{TID: uint32(tid), PID: uint32(tid), Start: time.Duration(number("start"))}
	text := strings.ReplaceAll(values["text"], "_", " ")
	switch fields[2] {
	case "release":
	case "gone":
		e.Kind = kindGone
	case "enter-load", "enter-unload", "enter-image":
		e.Kind, e.Enter = KindEnter, &Enter{Call: FinitModule, Text: values["name"]}
		switch fields[2] {
		case "enter-unload":
			e.Enter.Call = DeleteModule
		case "enter-image":
			e.Enter.Call = InitModule
		}
		if values["attempt"] == "" {
			e.Attempt = ID(at)
		}
	case "actor":
		e.Kind, e.Actor = KindActor, &ActorDetails{Of: ID(number("of")), Generation: int(number("generation"))}
	case "directory":
		e.Kind, e.Directory = KindDirectory, &Directory{Path: values["path"]}
	case "ancestor":
		e.Kind, e.Ancestor = KindAncestor, &Ancestor{Of: ID(number("of")), Index: int(number("index")), Generation: int(number("generation")), ForRequest: ID(number("for_request"))}
		e.Ancestor.Process = parseProcess(t, values["process"])
	case "process":
		e.Kind = KindProcess
		p := parseProcess(t, values["process"])
		p.Exe = &File{Path: values["exe"]}
		e.Process = &p
	case "leave-load", "leave-unload", "died":
		e.Kind, e.Return = KindLeave, &Return{Value: number("ret"), Call: FinitModule, Lost: uint32(number("lost"))}
		if fields[2] == "leave-unload" {
			e.Return.Call = DeleteModule
		}
		if fields[2] == "died" {
			e.Kind = KindDied
		}
	case "file":
		e.Kind = KindFile
		e.File = &File{Path: values["path"], Inode: uint64(number("ino")), Claimed: values["claimed"] != ""}
	case "image":
		e.Kind, e.Image = KindImage, &Image{Size: 1, Format: Format(values["format"])}
	case "denied":
		e.Kind, e.Denial = KindDenied, &Denial{Errno: unix.Errno(-number("ret"))}
		if err := e.Denial.Door.UnmarshalText([]byte(values["door"])); err != nil {
			t.Fatalf("%v: %v", fields, err)
		}
	case "lookup":
		e.Kind, e.Lookup = KindLookup, &Lookup{Name: values["name"], Found: values["state"] != ""}
		if err := e.Lookup.State.UnmarshalText([]byte(values["state"])); err != nil && e.Lookup.Found {
			t.Fatalf("%v: %v", fields, err)
		}
	case "message":
		e.Kind, e.Message = KindMessage, &Message{Text: text, Record: uint64(number("record"))}
	case "parse_args":
		e.Kind, e.Params = KindParams, &Params{Module: values["name"]}
	case "module_load", "do_init_module", "free_module", "module_free":
		e.Kind = map[string]Kind{"module_load": KindModuleLoad, "do_init_module": KindInit,
			"free_module": KindFree, "module_free": KindModuleFree}[fields[2]]
		e.Module = &Module{Name: values["name"]}
	case "init-return":
		e.Kind, e.Return = KindInitReturn, &Return{Value: number("ret")}
	case "request":
		e.Kind, e.Request = KindRequest, &Request{Name: values["name"], Wait: values["wait"] != "no", Denied: values["denied"] != ""}
	case "request-refused":
		e.Kind, e.Request = KindRequestFormat, &Request{Name: values["name"], Wait: values["wait"] != "no", Refused: true}
	case "request-return":
		e.Kind, e.Return = KindRequestReturn, &Return{Value: number("ret")}
	default:
		e.Kind = KindStage
		for s := StageRead; s <= StageInit; s++ {
			if s.String() == fields[2] {
				e.Step = &Step{Stage: s}
			}
		}
		if e.Step == nil {
			t.Fatalf("no such event: %v", fields)
		}
	}
	return e
}

// parseProcess reads "comm.pid.start".
func parseProcess(t *testing.T, text string) (p Process) {
	t.Helper()
	fields := strings.Split(text, ".")
	pid, pidErr := strconv.Atoi(fields[1])
	start, startErr := strconv.Atoi(fields[2])
	if pidErr != nil || startErr != nil {
		t.Fatalf("%s: %v, %v", text, pidErr, startErr)
	}
	p.Comm, p.PID, p.Start = fields[0], uint32(pid), time.Duration(start)
	return p
}

func TestCorrelatorIsBounded(t *testing.T) {
	c := NewCorrelator(10)
	var done []Action
	for i := range 100 {
		done = append(done, c.Add(Event{Kind: KindEnter, Time: time.Duration(i + 1), Attempt: ID(i + 1),
			Thread: Thread{TID: uint32(i)}, Enter: &Enter{Call: FinitModule}})...)
	}
	if len(c.Pending()) != 10 || c.Dropped() != 90 || len(done) != 90 {
		t.Errorf("%d pending, %d dropped, %d given up", len(c.Pending()), c.Dropped(), len(done))
	}
	for i, a := range done {
		if !a.EndLost || a.Outcome != Pending || a.ID != ID(i+1) {
			t.Fatalf("given up %d: %+v", i, a)
		}
	}
}

// TestDeferredIsBounded: what is deferred has bounds of its own, and takes no room from
// what is under way.
func TestDeferredIsBounded(t *testing.T) {
	c := NewCorrelator(10)
	enter := func(i int) []Action {
		return c.Add(Event{Kind: KindEnter, Time: time.Duration(i), Attempt: ID(i), Thread: Thread{TID: uint32(i)}, Enter: &Enter{Call: FinitModule}})
	}
	var done []Action
	for i := range 30 {
		thread := Thread{TID: uint32(i + 1)}
		done = append(done, enter(i+1)...)
		done = append(done, c.Add(Event{Kind: KindImage, Time: time.Duration(i + 1), Attempt: ID(i + 1), Thread: thread, Image: &Image{Format: FormatXz}})...)
		done = append(done, c.Add(Event{Kind: KindLeave, Time: time.Duration(i + 1), Attempt: ID(i + 1), Thread: thread, Return: &Return{Value: -8, Call: FinitModule}})...)
	}
	if len(done) != 20 || len(c.Pending()) != 10 || c.Dropped() != 0 || !c.HasDeferred() {
		t.Errorf("%d done, %d deferred, %d dropped", len(done), len(c.Pending()), c.Dropped())
	}
	for i, a := range done {
		if a.ID != ID(i+1) || a.EndLost {
			t.Errorf("given back %d: %+v", i, a)
		}
	}
	for i := range 10 {
		if done := enter(101 + i); len(done) > 0 {
			t.Errorf("attempt %d: %+v", i, done)
		}
	}
	if done := enter(111); len(done) != 1 || done[0].ID != 101 || !done[0].EndLost || c.Dropped() != 1 {
		t.Errorf("%+v, %d dropped", done, c.Dropped())
	}
}

func TestMessagesAreBounded(t *testing.T) {
	c := NewCorrelator(0)
	c.Add(Event{Kind: KindEnter, Time: 1, Attempt: 1, Enter: &Enter{Call: FinitModule}})
	for range maxMessages + 50 {
		c.Add(Event{Kind: KindMessage, Attempt: 1, Message: &Message{Text: "x"}})
	}
	a := c.Pending()[0]
	if len(a.Messages) != maxMessages || a.MessagesDropped != 50 {
		t.Errorf("%d messages, %d dropped", len(a.Messages), a.MessagesDropped)
	}
}

// TestMessageTimes: each message has the moment at which it began, also one that grew.
func TestMessageTimes(t *testing.T) {
	c := NewCorrelator(0)
	c.Add(Event{Kind: KindEnter, Time: 100, Attempt: 100, Enter: &Enter{Call: FinitModule}})
	for at, m := range []Message{{Text: "a", Record: 1}, {Text: "b", Record: 2}, {Text: "b and more", Record: 2}, {Text: "c", Record: 3}} {
		c.Add(Event{Kind: KindMessage, Time: time.Duration(110 + at), Attempt: 100, Message: &m})
	}
	a := c.Pending()[0]
	want := []time.Duration{10, 11, 13}
	if diff := cmp.Diff(want, a.MessageTimes); diff != "" || len(a.Messages) != len(want) || a.Messages[1] != "b and more" {
		t.Errorf("%q at %v", a.Messages, a.MessageTimes)
	}
}

func BenchmarkCorrelate(b *testing.B) {
	text, err := os.ReadFile("testdata/correlate/load-and-unload.txt")
	if err != nil {
		b.Fatal(err)
	}
	script, _, _ := strings.Cut(string(text), "---\n")
	events := parseScript(&testing.T{}, script)
	c := NewCorrelator(0)
	b.ReportAllocs()
	for b.Loop() {
		for _, e := range events {
			c.Add(e)
		}
	}
}
