//go:build !race

package service

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/provenance"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// enormous is an attempt of whose lists and texts each is as long as somebody could make it
// of some text. All processes in it are different.
func enormous(text string) *record.Record {
	long := func(n int) string { return strings.Repeat(text, n/len(text)) }
	count := uint32(0)
	process := func() tracer.Process {
		count++
		path := fmt.Sprintf("/%d/%s", count, long(4000))
		return tracer.Process{PID: count, UID: 1000 + count, Comm: "insmod", Exe: &tracer.File{Path: path}, Cgroup: tracer.Cgroup{ID: 1, Path: "/x.service"}}
	}
	who := func() *tracer.Actor {
		w := &tracer.Actor{Process: process(), Args: []string{long(1000), long(1000)}}
		for range 32 {
			w.Ancestors = append(w.Ancestors, process())
		}
		return w
	}
	requester := func(next *tracer.Requester) *tracer.Requester {
		return &tracer.Requester{Request: tracer.Request{Name: "net-pf-42"}, Actor: who(), Requester: next}
	}
	a := tracer.Action{
		ID: 1, Kind: tracer.Load, Module: "evil", NameFrom: tracer.NameKernel, Outcome: tracer.Failed, Errno: unix.ENOEXEC, ErrnoName: "ENOEXEC",
		Time: time.Unix(0, 0), Actor: who(), File: &tracer.File{Path: "/" + long(4000) + "/evil.ko"}, Seen: []tracer.Kind{tracer.KindEnter},
		Call: &tracer.Enter{Call: tracer.FinitModule, Text: long(1000)}, Params: &tracer.Params{Text: long(1000)},
	}
	for range 8 {
		a.Requester = requester(a.Requester)
		a.AwaitedBy = append(a.AwaitedBy, *requester(nil))
	}
	for range 1000 {
		a.Messages = append(a.Messages, long(1<<10))
		a.MessageTimes = append(a.MessageTimes, time.Second)
	}
	return &record.Record{
		Action: a, Cause: &cause.Cause{Code: cause.Vermagic, Text: long(1000), Evidence: []string{long(1000)}, Next: "rebuild it"},
		Origin: &provenance.Origin{State: provenance.Same, SHA256: provenance.Digest(strings.Repeat("0f", 32))},
	}
}

// TestRecordTooLarge: whatever an attempt is about, its record is kept, is what its schema
// says, and names the module, its file, the cause, who did it and who asked for it.
func TestRecordTooLarge(t *testing.T) {
	j, err := journal.Open(filepath.Join(t.TempDir(), "journal.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for name, c := range map[string]struct {
		text  string
		class journal.Class
		whole bool // paths stay whole
	}{
		"normal":               {"path", journal.ClassNormal, true},
		"minor":                {"path", journal.ClassMinor, false},
		"escapes":              {"\x01<&>é", journal.ClassNormal, false},
		"escapes, minor":       {"\x01<&>é", journal.ClassMinor, false},
		"control codes, minor": {"\x01", journal.ClassMinor, false},
	} {
		t.Run(name, func(t *testing.T) {
			whole := enormous(c.text)
			r, err := recorder{boot: "0123456789abcdef"}.action(whole)
			if err != nil {
				t.Fatal(err)
			}
			r.ID, r.Class = name, c.class
			if _, err := j.Append(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			kept, err := j.Get(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			validate(t, "record", kept.Document())
			var a record.Record
			if err := json.Unmarshal(kept.Body, &a); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d bytes of %d: %d messages, %d ancestors, awaited by %d", len(kept.Body), len(r.Body), len(a.Messages), len(a.Actor.Ancestors), len(a.AwaitedBy))
			if !a.Cut || len(a.Messages) != len(a.MessageTimes) {
				t.Errorf("cut: %v; %d messages, %d times of them", a.Cut, len(a.Messages), len(a.MessageTimes))
			}
			named(t, &a, whole, c.whole)
		})
	}
}

// named checks that a record that was shortened names what the whole one does.
func named(t *testing.T, a, whole *record.Record, paths bool) {
	t.Helper()
	if a.Module != whole.Module || a.Kind != whole.Kind || a.Outcome != whole.Outcome || a.Errno != whole.Errno {
		t.Errorf("%s of %s, %s, %d", a.Kind, a.Module, a.Outcome, a.Errno)
	}
	if a.Cause == nil || a.Cause.Code != whole.Cause.Code || a.Origin == nil || a.Origin.SHA256 != whole.Origin.SHA256 {
		t.Errorf("cause %v, origin %v", a.Cause, a.Origin)
	}
	path := func(what, is, want string) {
		if head := strings.TrimSuffix(is, "…"); is == "" || !strings.HasPrefix(want, head) || paths && is != want {
			t.Errorf("%s: %.30q… of %d bytes, want %.30q… of %d", what, is, len(is), want, len(want))
		}
	}
	who := func(what string, is, want *tracer.Actor) {
		if is == nil || is.PID != want.PID || is.UID != want.UID || is.Exe == nil {
			t.Errorf("%s: %v", what, is)
			return
		}
		path(what, is.Exe.Path, want.Exe.Path)
	}
	path("file", a.File.Path, whole.File.Path)
	who("actor", a.Actor, whole.Actor)
	is := a.Requester
	for want := whole.Requester; want != nil; want = want.Requester {
		if is == nil {
			t.Fatal("a requester is gone")
		}
		who("requester", is.Actor, want.Actor)
		is = is.Requester
	}
}

// TestRecordActorLost: the process of who asked is recorded by its thread where no more is
// known of it, and nobody where the request was not seen.
func TestRecordActorLost(t *testing.T) {
	root := &tracer.Actor{Process: tracer.Process{PID: 21, Comm: "modprobe", User: "root"}}
	a := record.Record{}
	a.Action = tracer.Action{ID: 1, Kind: tracer.Load, Module: "dummy", Actor: root, Thread: tracer.Thread{PID: 21}, ForRequest: 7, Seen: []tracer.Kind{}}
	unseen, err := recorder{boot: "0123456789abcdef"}.action(&a)
	if err != nil || unseen.UID != nil || unseen.User != "" {
		t.Errorf("request not seen: %v of %q, %v", unseen.UID, unseen.User, err)
	}
	a.Requester = &tracer.Requester{ID: 7, Thread: tracer.Thread{PID: 13, UID: 1000, Comm: "ip"}}
	lost, err := recorder{boot: "0123456789abcdef"}.action(&a)
	if err != nil || lost.UID == nil || *lost.UID != 1000 || lost.User != "" {
		t.Errorf("actor lost: %v of %q, %v", lost.UID, lost.User, err)
	}
}
