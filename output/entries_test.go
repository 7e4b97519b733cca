package output

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/internal/jsonline"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/provenance"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/rule"
	"github.com/kmodtrace/kmodtrace/tracer"
)

const boot = "1f2e3d4c-0000-4000-8000-000000000001"

// hostile is what somebody who names files, modules and processes may put into them.
const hostile = "a\"]b\\c\n<14>1 - - - - - -\r\x00\x1b[31m\u2028é\u202e\xff\xfeend=1\nMESSAGE=forged"

var epoch = time.Date(2026, 3, 1, 14, 3, 22, 123456789, time.UTC)

// testEntry makes an entry of a record as the service does.
func testEntry(tb testing.TB, seq int64, a *record.Record, text string) Entry {
	tb.Helper()
	body, err := jsonline.Marshal(a)
	if err != nil {
		tb.Fatal(err)
	}
	return Entry{Record: journal.Record{Seq: seq, ID: "1f2e3d4c-123-4711", Time: epoch, Boot: boot, Kind: journal.KindAction, Body: body}, Known: a, Text: text}
}

// findingEntry makes an entry of what was found in an action, as the service does.
func findingEntry(tb testing.TB, seq int64, a *record.Record, text string) Entry {
	tb.Helper()
	return withFinding(tb, seq, a, &rule.Finding{
		Rule: "untrusted-signer", Version: 2, Severity: rule.High, Title: "A module without a signature", Text: text, Subject: "hello", Time: epoch,
		Action: tracer.Load, Module: "hello", Outcome: tracer.Live, Attack: []string{"T1547.006", "T1014"},
		Evidence: map[string]string{"details.signed": "false"}, Record: "1f2e3d4c-123-4711",
	})
}

func withFinding(tb testing.TB, seq int64, a *record.Record, f *rule.Finding) Entry {
	tb.Helper()
	body, err := jsonline.Marshal(f)
	if err != nil {
		tb.Fatal(err)
	}
	return Entry{
		Record: journal.Record{Seq: seq, ID: f.Record + "-" + f.Rule, Time: epoch, Boot: boot, Kind: journal.KindFinding, Body: body},
		Known:  a, Finding: f, Text: f.Text,
	}
}

func word(seq int64, kind, body string) Entry {
	return Entry{Record: journal.Record{Seq: seq, ID: "1f2e3d4c-9-" + kind, Time: epoch, Boot: boot, Kind: journal.Kind(kind), Body: []byte(body)}, Text: "what is said of " + kind}
}

// recorded are actions of real kernels.
func recorded(tb testing.TB) []*record.Record {
	tb.Helper()
	paths, err := filepath.Glob("../tracer/testdata/records/*.actions.jsonl")
	if err != nil || len(paths) == 0 {
		tb.Fatalf("no recorded actions: %v", err)
	}
	var all []*record.Record
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			tb.Fatal(err)
		}
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			a := new(record.Record)
			if err := json.Unmarshal(s.Bytes(), a); err != nil {
				tb.Fatal(err)
			}
			a.Time = epoch
			all = append(all, a)
		}
	}
	return all
}

func first(tb testing.TB, kind tracer.ActionKind) record.Record {
	tb.Helper()
	for _, a := range recorded(tb) {
		if a.Kind == kind {
			return *a
		}
	}
	tb.Fatalf("no %v was recorded", kind)
	return record.Record{}
}

func container() tracer.Cgroup {
	return tracer.Cgroup{
		ID: 77, Path: "/kubepods/x", Unit: "containerd.service", PodUID: "0b1c2d3e-0000-4000-8000-000000000001",
		Container: &tracer.Container{Runtime: "containerd", ID: strings.Repeat("ab", 32), Image: "registry.example/a:1"},
		Pod:       &tracer.Pod{Namespace: "shop", Name: "web-1", Container: "nginx"},
	}
}

// samples are of every sort, by what is particular of them.
func samples(tb testing.TB) map[string]*record.Record {
	tb.Helper()
	all := map[string]*record.Record{"zero": {}}
	for i, a := range recorded(tb) {
		all["recorded "+string(rune('a'+i))] = a
	}
	load := first(tb, tracer.Load)

	failed := load
	failed.Outcome, failed.Errno, failed.ErrnoName = tracer.Failed, unix.ENOENT, "ENOENT"
	failed.Details = nil
	failed.Cause = &cause.Cause{
		Code: "symbol-missing", Text: "wants bar_register, which no loaded module exports", Evidence: []string{"kernel: no"}, Next: "load it",
		Names: map[string]string{"symbol": "bar_register"}, Inner: &cause.Cause{Code: "unknown", Text: "?", Remaining: []cause.Code{"memory"}},
	}
	failed.Warnings = []cause.Cause{{Code: "unknown", Text: "odd"}}
	all["failed"] = &failed

	request := record.Record{}
	request.Kind, request.Module, request.Outcome = tracer.Autoload, "rtnl-link-dummy", tracer.Answered
	request.Time, request.Thread = epoch, load.Thread
	request.Request = &tracer.Request{Name: "rtnl-link-dummy", Wait: true, Site: 0xffffffff81000000, Meaning: "network link dummy"}
	status := int64(0)
	request.HelperStatus = &status
	request.Actor = load.Actor
	all["request"] = &request

	asked := load
	login, session := uint32(1000), uint32(7)
	bob := *load.Actor
	bob.LoginUID, bob.LoginUser, bob.Session, bob.Terminal, bob.Comm = &login, "bob", &session, "pts/0", "ip"
	bob.Cgroup = container()
	asked.Requester = &tracer.Requester{ID: 5, Request: *request.Request, Thread: load.Thread, Actor: &tracer.Actor{},
		Requester: &tracer.Requester{ID: 6, Request: *request.Request, Thread: load.Thread, Actor: &bob}}
	asked.AwaitedBy = []tracer.Requester{{Request: *request.Request}}
	all["asked for from a container"] = &asked

	contained := load
	actor := *load.Actor
	actor.Cgroup, actor.User, actor.EffectiveUser = container(), "root", "root"
	actor.WorkingDirectory = &tracer.Directory{Path: "…/src", PathCut: true, Deleted: true, Unreachable: true}
	contained.Actor = &actor
	yes := true
	contained.Details = &tracer.Module{Name: "hello", Version: "1.0", Signed: &yes}
	contained.Image = &tracer.Image{Size: 1, Format: tracer.FormatELF, Signed: true}
	contained.Origin = &provenance.Origin{
		State: provenance.Same, SHA256: provenance.Digest(strings.Repeat("0a", 32)), Signer: "Debian", FileSystem: "ext4", Mode: "0644",
		Owner: &provenance.Owner{User: "root", Group: "root"}, Package: &provenance.Package{Name: "linux-image", Version: "6.12", Manager: "dpkg"}, InTree: true,
	}
	all["signed, of a package, in a container"] = &contained

	memfd := load
	memfd.File = &tracer.File{Path: "/memfd:x (deleted)", Memfd: true, Deleted: true, Claimed: true, Size: 1<<64 - 1, Inode: 1<<64 - 1}
	memfd.Call = &tracer.Enter{Call: tracer.InitModule, Size: 1<<64 - 1, FD: -1}
	all["memfd"] = &memfd

	for what, path := range map[string]string{"no path": "", "root": "/", "hidden": "/.x", "dot": "/x."} {
		odd := load
		odd.File = &tracer.File{Path: path, Mode: unix.S_IFCHR | 0o600}
		all["file "+what] = &odd
	}

	nobody := load
	nobody.Actor = nil
	nobody.Requester = &tracer.Requester{}
	all["actor lost"] = &nobody

	thread := load
	thread.Actor = &tracer.Actor{Process: tracer.Process{PID: 2, Comm: "kthreadd", KernelThread: true}}
	thread.Crashed, thread.Partial, thread.Lost, thread.EndLost, thread.Outcome = true, true, 3, true, tracer.Pending
	all["kernel thread, crashed, with losses"] = &thread

	full, evil := new(record.Record), new(record.Record)
	fill(reflect.ValueOf(full).Elem(), "x", 0)
	fill(reflect.ValueOf(evil).Elem(), hostile, 0)
	all["everything"], all["hostile"] = full, evil
	long := new(record.Record)
	fill(reflect.ValueOf(long).Elem(), strings.Repeat("é]\"", 100<<10/4), 2)
	all["long"] = long
	return all
}

// fill gives every field something.
func fill(v reflect.Value, text string, depth int) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(epoch))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), text, depth)
			}
		}
	case reflect.Pointer:
		if depth < 4 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), text, depth+1)
		}
	case reflect.Slice:
		if depth < 4 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			fill(v.Index(0), text, depth+1)
		}
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"symbol": text}))
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		v.SetUint(1)
	}
}

// entries are of every sample and of every word of the journal.
func entries(tb testing.TB) []Entry {
	tb.Helper()
	var all []Entry
	for what, a := range samples(tb) {
		all = append(all, testEntry(tb, int64(len(all)+1), a, what))
		all = append(all, findingEntry(tb, int64(len(all)+1), a, "found in "+what))
	}
	evil := new(rule.Finding)
	fill(reflect.ValueOf(evil).Elem(), hostile, 0)
	all = append(all, findingEntry(tb, int64(len(all)+1), nil, "found in what is gone"))
	all = append(all, withFinding(tb, int64(len(all)+1), nil, evil))
	for _, kind := range []string{"inventory", "started", "stopped", "lost", "late", "clock", "corrupt", "retention", "of tomorrow", ""} {
		all = append(all, word(int64(len(all)+1), kind, `{"text":"it <is>","loss":{"events":3}}`))
	}
	n := int64(len(all))
	return append(all,
		word(n+1, "present", `{"text":"is loaded","module":{"name":"hello","size":16384}}`),
		word(n+2, "lost", ""), word(n+3, "lost", "{"), word(n+4, "lost", "[1]"), word(n+5, "lost", "a\nb"), word(n+6, "lost", "null"),
		word(n+7, "present", `{"module":5}`), word(n+8, "action", `{"action":"no such"}`),
		Entry{Record: journal.Record{Seq: n + 9, ID: hostile, Time: epoch, Boot: hostile, Kind: hostile, Body: []byte("{\"text\":\"\xff\"}")}, Text: hostile},
		Entry{Record: journal.Record{Seq: n + 10, Time: epoch}, Text: strings.Repeat("long ]\"", 15<<10)},
	)
}
