package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/kmodtrace/kmodtrace/account"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/tracer"
)

func process(comm string, pid, uid uint32) tracer.Process {
	p := tracer.Process{Comm: comm, PID: pid, Start: time.Duration(pid), UID: uid, EUID: uid}
	first := tracer.Namespace{ID: 1, Initial: true}
	p.Namespaces = tracer.Namespaces{PID: first, Mount: first, User: first}
	p.User = [...]string{"root", "alice"}[uid]
	return p
}

// loggedIn is who did something below a login of alice's, through sudo.
func loggedIn(comm string, pid uint32) *tracer.Actor {
	login := uint32(1)
	a := &tracer.Actor{Process: process(comm, pid, 0), Args: []string{comm, "x"}, Ancestors: []tracer.Process{
		process("sudo", 12, 0), process("bash", 11, 1), process("sshd", 10, 0), process("systemd", 1, 0),
	}}
	a.LoginUID, a.LoginUser = &login, "alice"
	return a
}

func TestLineage(t *testing.T) {
	contained := loggedIn("insmod", 13)
	contained.Cgroup.Container = &tracer.Container{Runtime: "docker", ID: "0123456789abcdef"}
	unknown := loggedIn("insmod", 13)
	unknown.LoginUID, unknown.Namespaces.Mount.Initial = nil, false
	recorded := &tracer.Actor{Process: process("insmod", 13, 1)}
	recorded.User = "bob"
	long := loggedIn("insmod", 13)
	long.AncestorsCut = true
	for _, test := range []struct {
		name string
		a    *tracer.Actor
		room int
		want string
	}{
		{"room for all", loggedIn("insmod", 13), 80, "alice: systemd › sshd › bash › sudo › insmod[13]"},
		{"more than is kept", long, 80, "alice: … › systemd › sshd › bash › sudo › insmod[13]"},
		{"some", loggedIn("insmod", 13), 36, "alice: … › bash › sudo › insmod[13]"},
		{"one", loggedIn("insmod", 13), 28, "alice: … › sudo › insmod[13]"},
		{"none", loggedIn("insmod", 13), 22, "alice: … › insmod[13]"},
		{"not even that", loggedIn("insmod", 13), 3, "alice: insmod[13]"},
		{"container", contained, 60, "alice in docker 0123456789a…: … › bash › sudo › insmod[13]"},
		{"namespaces", unknown, 40, "root in a container: … › insmod[13]"},
		{"another machine's record", recorded, 80, "bob: insmod[13]"},
		{"hostile name", &tracer.Actor{Process: process("a\x1b[2J", 5, 1)}, 80, "alice: a\x1b[2J[5]"}, // made printable by the line
	} {
		if test.name == "hostile name" {
			first := tracer.Namespace{ID: 1, Initial: true}
			test.a.Namespaces = tracer.Namespaces{PID: first, Mount: first, User: first}
		}
		if got := lineage(test.a, test.room); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// requested is a load that a helper made for ip's sake, and the request.
func requested() (load, request account.Account) {
	ask := tracer.Request{Name: "rtnl-link-dummy", Meaning: "network link type dummy", Wait: true, Symbol: "rtnl_newlink+0x1"}
	load = loaded()
	load.Module, load.Params, load.Messages, load.ForRequest = "dummy", nil, nil, 7
	load.Actor = &tracer.Actor{Process: process("modprobe", 21, 0), Ancestors: []tracer.Process{process("kworker/u8:0", 20, 0)}}
	load.Thread = tracer.Thread{PID: 21, TID: 21, Comm: "modprobe"}
	load.Requester = &tracer.Requester{ID: 7, Request: ask, Actor: loggedIn("ip", 13)}
	load.AwaitedBy = []tracer.Requester{{ID: 8, Request: ask, Actor: loggedIn("ip", 14)}}
	request = load
	request.ID, request.Kind, request.Module, request.Outcome = 7, tracer.Autoload, ask.Name, tracer.Answered
	request.Actor, request.Request = loggedIn("ip", 13), &ask
	request.ForRequest, request.Requester, request.AwaitedBy, request.File, request.Details = 0, nil, nil, nil, nil
	return load, request
}

func TestRequestedLoad(t *testing.T) {
	load, request := requested()
	table := newActionTable(term.Theme{}, 80)
	table.users = users{0: "root", 1: "alice"}
	want := `14:03:22  load     dummy          live              3.1ms  alice: … › ip[13]
                   ├ /home/alice/src/hello/hello.ko  out-of-tree, unsigned
                   ├ for network link type dummy (rtnl-link-dummy), by
                   └ modprobe[21], also awaited by alice: ip[14]
14:03:22  request  rtnl-link-du…  answered          3.1ms  alice: … › ip[13]
                   └ network link type dummy, in rtnl_newlink+0x1
`
	if diff := cmp.Diff(want, table.render(&load)+table.render(&request)); diff != "" {
		t.Error(diff)
	}
}

// TestTree: what was done for a request is shown below it, by helper.
func TestTree(t *testing.T) {
	load, request := requested()
	dep := load
	dep.Module = "dep"
	other := load
	other.Thread, other.ForRequest = tracer.Thread{PID: 99, Comm: "modprobe"}, 50
	var f forest
	var got []*tree
	for _, e := range []account.Account{dep, load, other, request} {
		got = append(got, f.add(e)...)
	}
	if len(got) != 1 || len(got[0].below) != 2 {
		t.Fatalf("%d trees, the first of %+v", len(got), got)
	}
	table := newActionTable(term.Theme{}, 80)
	table.users = users{0: "root", 1: "alice"}
	want := `14:03:22  request  rtnl-link-du…  answered          3.1ms  alice: … › ip[13]
                   ├ network link type dummy, in rtnl_newlink+0x1
                   └ modprobe[21]
                     ├ load  dep  live  3.1ms  /home/alice/src/hello/hello.ko
                     └ load  dummy  live  3.1ms  /home/alice/src/hello/hello.ko
`
	if diff := cmp.Diff(want, table.renderTree(got[0])); diff != "" {
		t.Error(diff)
	}
	if rest := f.rest(); len(rest) != 1 || rest[0].ForRequest != 50 || len(f.rest()) != 0 {
		t.Errorf("left: %+v", rest)
	}
	// The request has ended: what comes later stands alone.
	if late := f.add(load); len(late) != 1 {
		t.Errorf("a late load: %+v", late)
	}
}

// TestForestIsBounded: requests whose end does not come do not fill the memory.
func TestForestIsBounded(t *testing.T) {
	load, _ := requested()
	var f forest
	shown := 0
	for i := range 3 * maxHeld {
		load.ForRequest = uint64(i + 1)
		shown += len(f.add(load))
	}
	if left := len(f.rest()); left > maxHeld || shown+left != 3*maxHeld {
		t.Errorf("%d shown, %d left", shown, left)
	}
}
