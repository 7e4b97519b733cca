package render

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kmodtrace/kmodtrace/internal/sample"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

func TestLineage(t *testing.T) {
	contained := sample.LoggedIn("insmod", 13)
	contained.Cgroup.Container = &tracer.Container{Runtime: "docker", ID: "0123456789abcdef"}
	unknown := sample.LoggedIn("insmod", 13)
	unknown.LoginUID, unknown.Namespaces.Mount.Initial = nil, false
	recorded := &tracer.Actor{Process: sample.Process("insmod", 13, 1)}
	recorded.User = "bob"
	long := sample.LoggedIn("insmod", 13)
	long.AncestorsCut = true
	for _, test := range []struct {
		name string
		a    *tracer.Actor
		room int
		want string
	}{
		{"room for all", sample.LoggedIn("insmod", 13), 80, "alice: systemd › sshd › bash › sudo › insmod[13]"},
		{"more than is kept", long, 80, "alice: … › systemd › sshd › bash › sudo › insmod[13]"},
		{"some", sample.LoggedIn("insmod", 13), 36, "alice: … › bash › sudo › insmod[13]"},
		{"one", sample.LoggedIn("insmod", 13), 28, "alice: … › sudo › insmod[13]"},
		{"none", sample.LoggedIn("insmod", 13), 22, "alice: … › insmod[13]"},
		{"not even that", sample.LoggedIn("insmod", 13), 3, "alice: insmod[13]"},
		{"container", contained, 60, "alice in docker 0123456789a…: … › bash › sudo › insmod[13]"},
		{"namespaces", unknown, 40, "root in a container: … › insmod[13]"},
		{"another machine's record", recorded, 80, "bob: insmod[13]"},
		{"hostile name", &tracer.Actor{Process: sample.Process("a\x1b[2J", 5, 1)}, 80, "alice: a\x1b[2J[5]"}, // made printable by the line
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

// TestActorText: the text says behind the path of a working directory that it is removed or out of reach.
func TestActorText(t *testing.T) {
	for want, d := range map[string]*tracer.Directory{
		`"insmod x"`:                                           nil,
		`"insmod x", in directory /src`:                        {Path: "/src"},
		`"insmod x", in directory …/src`:                       {Path: "…/src", PathCut: true},
		`"insmod x", in directory /src (deleted)`:              {Path: "/src", Deleted: true},
		`"insmod x", in directory …/src (unreachable)`:         {Path: "…/src", Unreachable: true},
		`"insmod x", in directory …/s (deleted) (unreachable)`: {Path: "…/s", Deleted: true, Unreachable: true},
	} {
		a := sample.LoggedIn("insmod", 13)
		a.WorkingDirectory = d
		if got := actorText(a); got != want {
			t.Errorf("%+v: %q, want %q", d, got, want)
		}
	}
}

// TestThreadText: a kernel thread, and the process behind it, which stands for it.
func TestThreadText(t *testing.T) {
	thread := &tracer.Actor{Process: sample.Process("cryptomgr_probe", 77, 0), StartedBy: sample.LoggedIn("trig", 13)}
	thread.KernelThread = true
	older := *thread
	older.StartedBy = nil
	worker := older
	worker.Worker = true
	for _, test := range []struct {
		a    *tracer.Actor
		want string
	}{
		{nil, ""},
		{sample.LoggedIn("ip", 13), ""},
		{thread, ", asked by cryptomgr_probe[77], started by trig[13]"},
		{&older, ""},
		{&worker, ", " + unknownQueuer},
	} {
		if got := threadText(test.a); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
	load, _ := sample.Requested()
	load.Requester.Actor = thread
	result := NewResultText(term.Theme{}, 80)
	text := result.Text(result.attribution(&load.Action))
	for _, want := range []string{"asked by   root: cryptomgr_probe[77]\n", "           started by alice: systemd › sshd › bash › sudo › trig[13]\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestRequestedLoad(t *testing.T) {
	load, request := sample.Requested()
	table := NewActionTable(term.Theme{}, 80)
	table.users = Users{0: "root", 1: "alice"}
	want := `14:03:22  load     dummy          live              3.1ms  alice: … › ip[13]
                   ├ /home/alice/src/hello/hello.ko  out-of-tree, unsigned
                   ├ for network link type dummy (rtnl-link-dummy), by
                   └ modprobe[21], also awaited by alice: ip[14]
14:03:22  request  rtnl-link-du…  answered          3.1ms  alice: … › ip[13]
                   └ network link type dummy, in rtnl_newlink+0x1
`
	if diff := cmp.Diff(want, table.Render(&load)+table.Render(&request)); diff != "" {
		t.Error(diff)
	}
}

// TestTree: what was done for a request is shown below it, by helper.
func TestTree(t *testing.T) {
	load, request := sample.Requested()
	dep := load
	dep.Module = "dep"
	other := load
	other.Thread, other.ForRequest = tracer.Thread{PID: 99, Comm: "modprobe"}, 50
	var f Forest
	var got []*Tree
	for _, e := range []record.Record{dep, load, other, request} {
		got = append(got, f.Add(e)...)
	}
	if len(got) != 1 || len(got[0].below) != 2 {
		t.Fatalf("%d trees, the first of %+v", len(got), got)
	}
	table := NewActionTable(term.Theme{}, 80)
	table.users = Users{0: "root", 1: "alice"}
	want := `14:03:22  request  rtnl-link-du…  answered          3.1ms  alice: … › ip[13]
                   ├ network link type dummy, in rtnl_newlink+0x1
                   └ modprobe[21]
                     ├ load  dep  live  3.1ms  /home/alice/src/hello/hello.ko
                     └ load  dummy  live  3.1ms  /home/alice/src/hello/hello.ko
`
	if diff := cmp.Diff(want, table.RenderTree(got[0])); diff != "" {
		t.Error(diff)
	}
	if rest := f.Rest(); len(rest) != 1 || rest[0].ForRequest != 50 || len(f.Rest()) != 0 {
		t.Errorf("left: %+v", rest)
	}
	// The request has ended: what comes later stands alone.
	if late := f.Add(load); len(late) != 1 {
		t.Errorf("a late load: %+v", late)
	}
}

// TestForestIsBounded: requests whose end does not come do not fill the memory.
func TestForestIsBounded(t *testing.T) {
	load, _ := sample.Requested()
	var f Forest
	shown := 0
	for i := range 3 * maxDeferred {
		load.ForRequest = tracer.ID(i + 1)
		shown += len(f.Add(load))
	}
	if left := len(f.Rest()); left > maxDeferred || shown+left != 3*maxDeferred {
		t.Errorf("%d shown, %d left", shown, left)
	}
}
