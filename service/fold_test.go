package service

import (
	"bytes"
	"fmt"
	"path"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/docs/schema"
	"github.com/kmodtrace/kmodtrace/internal/jsonline"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// someone is a process of a user, in the first user namespace or in another.
func someone(uid uint32, capabilities tracer.Capabilities, initial bool) *tracer.Actor {
	return &tracer.Actor{
		Process:      tracer.Process{PID: 100, UID: uid, EUID: uid, Comm: "sh", Exe: &tracer.File{Path: "/bin/sh"}, Namespaces: tracer.Namespaces{User: tracer.Namespace{Initial: initial}}},
		Capabilities: capabilities,
	}
}

const allCapabilities = tracer.Capabilities(1<<41 - 1)

// refused is an unload that a user may not do.
func refused(uid uint32, module string) *tracer.Action {
	return &tracer.Action{
		Kind: tracer.Unload, Module: module, Outcome: tracer.Failed, Errno: unix.EPERM, ErrnoName: "EPERM", Time: time.Now(),
		Thread: tracer.Thread{UID: uid}, Actor: someone(uid, 0, true), Call: &tracer.Enter{Call: tracer.DeleteModule},
	}
}

// request is one that came to nothing.
func request(who *tracer.Actor) *tracer.Action {
	return &tracer.Action{Kind: tracer.Autoload, Module: "fs-x", Outcome: tracer.Failed, Request: &tracer.Request{Name: "fs-x"}, Thread: tracer.Thread{UID: who.UID}, Actor: who}
}

func with(a *tracer.Action, change func(*tracer.Action)) *tracer.Action {
	change(a)
	return a
}

// TestMinor: minor is what changed nothing, by who may change nothing; of a load for a
// request the one who asked first counts.
func TestMinor(t *testing.T) {
	root, user, inside := someone(0, allCapabilities, true), someone(1000, 0, true), someone(100000, allCapabilities, false)
	load := func(who *tracer.Actor, capable bool, outcome tracer.Outcome) *tracer.Action {
		return &tracer.Action{Kind: tracer.Load, Outcome: outcome, Thread: tracer.Thread{UID: who.UID}, Actor: who, Call: &tracer.Enter{Capable: capable}}
	}
	helped := func(who *tracer.Actor, outcome tracer.Outcome) *tracer.Action {
		return with(load(root, true, outcome), func(a *tracer.Action) {
			a.ForRequest = 7
			a.Requester = &tracer.Requester{ID: 7, Thread: tracer.Thread{UID: 0}, Actor: root, Requester: &tracer.Requester{ID: 5, Actor: who, Thread: tracer.Thread{UID: who.UID}}}
		})
	}
	for _, c := range []struct {
		name   string
		action *tracer.Action
		minor  bool
		uid    uint32
	}{
		{"refused to a user", refused(1000, "x"), true, 1000},
		{"a user's request", request(user), true, 1000},
		{"a request of root in a user namespace", request(inside), true, 100000},
		{"root's request", request(root), false, 0},
		{"a kernel thread's request", with(request(someone(0, 0, false)), func(a *tracer.Action) { a.Actor.KernelThread = true }), false, 0},
		{"root's load that failed", load(root, true, tracer.Failed), false, 0},
		{"root of a user namespace, refused", load(inside, false, tracer.Failed), true, 100000},
		{"a load that went well", load(user, false, tracer.Live), false, 0},
		{"a user's, whose end was not seen", load(user, false, tracer.Pending), true, 1000},
		{"root's, whose end was not seen", load(root, true, tracer.Pending), false, 0},
		{"a helper's load for a user, failed", helped(user, tracer.Failed), true, 1000},
		{"a helper's load for a user, that went well", helped(user, tracer.Live), false, 0},
		{"a helper's load for root, failed", helped(root, tracer.Failed), false, 0},
		{"a helper's load, for whom is not known", with(load(root, true, tracer.Failed), func(a *tracer.Action) { a.ForRequest = 7 }), true, 0},
		{"a request that was answered by loads", with(request(user), func(a *tracer.Action) { a.Outcome, a.Loads = tracer.Answered, []tracer.ID{1} }), false, 0},
		{"a request that was answered without", with(request(user), func(a *tracer.Action) { a.Outcome = tracer.Answered }), true, 1000},
		{"refused, and who is lost", &tracer.Action{Kind: tracer.Load, Outcome: tracer.Failed, Errno: unix.EPERM, Thread: tracer.Thread{UID: 1000}}, true, 1000},
		{"failed, and who is lost", &tracer.Action{Kind: tracer.Load, Outcome: tracer.Failed, Errno: unix.ENOEXEC, Thread: tracer.Thread{UID: 1000}}, false, 0},
		{"a crash", with(load(user, false, tracer.Failed), func(a *tracer.Action) { a.Crashed = true }), false, 0},
	} {
		m, minor := minorOf(c.action)
		if minor != c.minor || m.who.uid != c.uid {
			t.Errorf("%s: minor %v of user %d", c.name, minor, m.who.uid)
		}
	}
}

// TestFoldBudget: of a user and kind the first few are recorded, then one a minute; users
// with many numbers share a budget.
func TestFoldBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFolds()
		full := func(uid uint32, times int) (n int) {
			for range times {
				m, _ := minorOf(refused(uid, "x"))
				if f.inFull(&m) {
					n++
				}
			}
			return n
		}
		if n := full(1000, 5000); n != fullPerUser {
			t.Errorf("%d of 5000 are recorded", n)
		}
		time.Sleep(3*userRefill + time.Second)
		if n := full(1000, 5000); n != 3 {
			t.Errorf("after three minutes %d are", n)
		}
		time.Sleep(time.Hour)
		n := 0
		for uid := range uint32(65_536) {
			n += full(200_000+uid, 2)
		}
		if n != fullOfAll {
			t.Errorf("with 65,536 numbers one gets %d", n)
		}
		if len(f.users) > 3*fullOfAll {
			t.Errorf("%d users are remembered", len(f.users))
		}
		for range 10_000 {
			time.Sleep(time.Second)
			n += full(uint32(n)+10, 3)
		}
		if most := fullOfAll + int(10_000*time.Second/allRefill) + 1; n > 2*most || len(f.users) > 3*fullOfAll {
			t.Errorf("%d in all, at most %d; %d users are remembered", n, most, len(f.users))
		}
	})
}

// TestFold: a fold counts and keeps a few samples, all of bounded size, and is due when it
// is a minute old.
func TestFold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFolds()
		began := time.Now()
		for i := range 5000 {
			a := refused(1000, fmt.Sprint("module", i, strings.Repeat("x", 5000)))
			a.ErrnoName = fmt.Sprint("E", i%100)
			m, _ := minorOf(a)
			f.add(&m, overBudget)
			time.Sleep(time.Millisecond)
		}
		if due := f.take(false); len(due) != 0 {
			t.Fatalf("%d are due at once", len(due))
		}
		time.Sleep(foldFor)
		due := f.take(false)
		if len(due) != 1 {
			t.Fatalf("%d are due", len(due))
		}
		d := due[0]
		if d.Count != 5000 || *d.UID != 1000 || d.Action != "unload" || !d.First.Equal(began) || d.Last.Sub(d.First) < 4*time.Second {
			t.Errorf("%+v", d.Folded)
		}
		if len(d.Modules) != maxSamples || len(d.Modules[0]) > sampleSize+len("…") || len(d.Programs) != 1 {
			t.Errorf("samples %q, %q", d.Modules, d.Programs)
		}
		sum := int64(0)
		for _, n := range d.Errnos {
			sum += n
		}
		if len(d.Errnos) > maxErrnos+1 || sum != d.Count {
			t.Errorf("%d errnos, %d in all", len(d.Errnos), sum)
		}
		if len(f.take(true)) != 0 {
			t.Error("it is there twice")
		}
	})
}

// TestFoldMany: users for whom there is no room share a fold; none is forgotten, also where
// a fold could not be written.
func TestFoldMany(t *testing.T) {
	f := newFolds()
	const users = 10_000
	for uid := range uint32(users) {
		m, _ := minorOf(refused(uid+1, "x"))
		f.add(&m, overBudget)
	}
	due := f.take(true)
	if len(due) != maxFolds+1 {
		t.Errorf("%d folds", len(due))
	}
	for uid := range uint32(users) { // while these cannot be written
		m, _ := minorOf(refused(uid+users, "x"))
		f.add(&m, overBudget)
	}
	for _, d := range due {
		f.putBack(d)
	}
	sum, size := int64(0), 0
	for _, d := range f.take(true) {
		sum += d.Count
		text, err := jsonline.Marshal(note{Text: d.text(), Folded: &d.Folded})
		if err != nil {
			t.Fatal(err)
		}
		size = max(size, len(text))
		if d.shared && (d.UID != nil || d.User != "" || len(d.UIDs) == 0 || !strings.Contains(d.text(), "several users")) {
			t.Errorf("%+v: %s", d.Folded, d.text())
		}
	}
	if sum != 2*users || size > 4<<10 {
		t.Errorf("%d of %d are counted, in at most %d bytes", sum, 2*users, size)
	}
	if f.totals()[tracer.Unload] != 2*users {
		t.Errorf("%v", f.totals())
	}
}

// TestFoldKernel: what the kernel side counts is added once, whenever it is asked.
func TestFoldKernel(t *testing.T) {
	f := newFolds()
	now := time.Unix(1_700_000_000, 0)
	counts := []tracer.Folded{
		{UID: 1000, Kind: tracer.Unload, Count: 100, Unread: 4, First: 10 * time.Second, Last: 20 * time.Second},
		{Others: true, Kind: tracer.Load, Count: 7, First: 15 * time.Second, Last: 16 * time.Second},
	}
	f.addKernel(counts, now, 30*time.Second)
	f.addKernel(counts, now, 31*time.Second)
	counts[0].Count, counts[0].Unread, counts[0].Last = 150, 6, 40*time.Second
	f.addKernel(counts, now.Add(15*time.Second), 45*time.Second)
	due := f.take(true)
	if len(due) != 2 {
		t.Fatalf("%d folds", len(due))
	}
	d := due[0]
	if d.Count != 150 || d.InKernel != 150 || d.Unread != 6 || *d.UID != 1000 || !d.First.Equal(now.Add(-20*time.Second)) || !d.Last.Equal(now.Add(10*time.Second)) {
		t.Errorf("%+v", d.Folded)
	}
	if d := due[1]; d.Count != 7 || d.UID != nil || !d.shared {
		t.Errorf("%+v", d.Folded)
	}
	f.addKernel([]tracer.Folded{{UID: 1000, Kind: tracer.Unload, Count: 160, Last: 50 * time.Second}}, now, 60*time.Second)
	if due := f.take(true); len(due) != 1 || due[0].Count != 10 {
		t.Errorf("%+v", due)
	}
	f.addKernel([]tracer.Folded{{UID: 1000, Kind: tracer.Unload, Count: 3}}, now, 60*time.Second)
	if due := f.take(true); len(due) != 1 || due[0].Count != 3 {
		t.Errorf("after another counter took its place: %+v", due)
	}
}

// TestFoldRecord: the record of a fold is what its schema says.
func TestFoldRecord(t *testing.T) {
	f := newFolds()
	for range 3 {
		m, _ := minorOf(refused(1000, "x"))
		m.container = "0123"
		f.add(&m, tooManyWait)
		f.add(&m, notWritten)
	}
	r, err := recorder{boot: "0123456789abcdef"}.fold(f.take(true)[0])
	if err != nil {
		t.Fatal(err)
	}
	if r.Kind != journal.KindFolded || r.Count != 6 || *r.UID != 1000 || r.Action != journal.Unload {
		t.Errorf("%+v", r)
	}
	validate(t, "record", r.Document())
}

// validate compares a document with a published schema.
func validate(t *testing.T, name string, v any) {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.UseLoader(published{})
	compiled, err := c.Compile("file:///" + name + ".schema.json")
	if err != nil {
		t.Fatal(err)
	}
	text, err := jsonline.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err == nil {
		err = compiled.Validate(value)
	}
	if err != nil {
		t.Errorf("%s: %v", text, err)
	}
}

// published are the schemas.
type published struct{}

func (published) Load(url string) (any, error) {
	f, err := schema.Files().Open(path.Base(url))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return jsonschema.UnmarshalJSON(f)
}
