package tracer_test

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/roles"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// times is how often each case of testActors is made with each backend:
// $KMODTRACE_TIMES (make attribution), or once. Of the second backend most cases are
// left out then: it sees the same processes by the same code.
func times(t *testing.T) int { return max(1, count(t, "KMODTRACE_TIMES")) }

const aContainer = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// actorCase is something that somebody does, and who it must be said to be.
type actorCase struct {
	name string
	// command is run, and fails where it says so. undo is unloaded after.
	command []string
	fails   bool
	undo    []string
	// loads are the modules that it loads (any order), made by it or for it. check
	// looks at whom each action (loads and requests) is said to be of: the process
	// that acted, or that asked. pid is of the command.
	loads []string
	asks  string
	check func(t *testing.T, who *tracer.Actor, pid uint32)

	always bool // with each backend
}

// testActors: whoever loads a module, or needs one, is said to be who it is, while
// others load and unload meanwhile: but where a hook may be missed for that, and then is counted.
// again says that another backend has seen it all.
func testActors(t *testing.T, w *watch, again bool) {
	t.Run("among others", func(t *testing.T) {
		if !mayMiss(w.backend()) {
			defer noise(t)()
		}
		brief := again && times(t) == 1
		for _, c := range actorCases(t) {
			if brief && !c.always {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				for range times(t) {
					testActor(t, w, c)
				}
			})
		}
		if brief {
			return
		}
		t.Run("two at once", func(t *testing.T) {
			for range times(t) {
				testTwoAsk(t, w)
			}
		})
	})
	w.during(t, func() {})            // ends what the others left
	if w.backend() == tracer.Kprobe { // the other sees the same processes by the same code
		t.Run("control group of version 1", func(t *testing.T) { testActorCgroup1(t, w) })
		t.Run("ids used again", func(t *testing.T) { testActorIDsUsedAgain(t, w) })
		t.Run("sets its login", func(t *testing.T) { testActorSetsLogin(t, w) })
	}
	if loss, err := w.Loss(); err != nil || loss.Any() && !mayMiss(w.backend()) {
		t.Errorf("loss: %+v, %v", loss, err)
	}
}

// noise loads and unloads modules until it is stopped.
func noise(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			sh(t, "/sbin/insmod", specimen("nap5"), "ms=1")
			sh(t, "/sbin/rmmod", "nap5")
			_ = exec.Command("ip", "link", "add", "noise0", "type", "noisething").Run()
		}
	}()
	return func() { cancel(); <-done }
}

func isNoise(a tracer.Action) bool {
	return a.Module == "nap5" || strings.Contains(a.Module, "noise")
}

func actorCases(t *testing.T) []actorCase {
	hello := specimen("hello")
	installRoles(t, "login", "sudo", "loader", "opener", "contain")
	if err := os.MkdirAll("/mnt", 0o755); err != nil {
		t.Fatal(err)
	}
	return []actorCase{
		{name: "insmod from a shell", command: []string{"sh", "-c", "insmod " + hello + "; exit $?"}, loads: []string{"hello"}, undo: []string{"hello"},
			check: func(t *testing.T, who *tracer.Actor, pid uint32) {
				expectLine(t, who, pid, 1, "insmod", "sh")
				expectArgs(t, who, "insmod", hello)
				expectExe(t, who, "/usr/bin/kmod")
			}},
		{name: "a user through sudo", always: true, command: []string{roles.Path("login"), "1000", "sh", "-c", roles.Path("sudo") + " insmod " + hello + "; exit $?"}, loads: []string{"hello"}, undo: []string{"hello"},
			check: func(t *testing.T, who *tracer.Actor, pid uint32) {
				expectLine(t, who, pid, 3, "insmod", "sudo", "sh", "login")
				if who.UID != 0 || who.EUID != 0 || who.Ancestors[1].UID != 1000 || who.Ancestors[1].User != "user" {
					t.Errorf("users: %d/%d, of the shell %d (%s)", who.UID, who.EUID, who.Ancestors[1].UID, who.Ancestors[1].User)
				}
				if who.LoginUID == nil || *who.LoginUID != 1000 || who.LoginUser != "user" || who.Session == nil {
					t.Errorf("login: %v (%s), session %v", who.LoginUID, who.LoginUser, who.Session)
				}
			}},
		{name: "a program that is gone at once", command: []string{roles.Path("loader"), hello}, loads: []string{"hello"}, undo: []string{"hello"},
			check: func(t *testing.T, who *tracer.Actor, pid uint32) {
				expectLine(t, who, pid, 0, "loader")
				expectArgs(t, who, roles.Path("loader"), hello)
				expectExe(t, who, roles.Path("loader"))
			}},
		{name: "mount", command: []string{"mount", "-t", "vfat", "none", "/mnt"}, fails: true, asks: "fs-vfat", loads: []string{"fat", "vfat"}, undo: []string{"vfat"},
			check: func(t *testing.T, who *tracer.Actor, pid uint32) {
				expectLine(t, who, pid, 0, "mount")
				expectArgs(t, who, "mount", "-t", "vfat", "none", "/mnt")
			}},
		{name: "ip link", always: true, command: []string{"sh", "-c", "ip link add kmodtrace1 type dummy && ip link del kmodtrace1"}, asks: "rtnl-link-dummy", loads: []string{"dummy"}, undo: []string{"dummy"},
			check: func(t *testing.T, who *tracer.Actor, pid uint32) { expectLine(t, who, pid, 1, "ip", "sh") }},
		{name: "an unprivileged user's socket", command: []string{roles.Path("login"), "65534", roles.Path("opener"), "38", "5", "0"}, asks: "net-pf-38", loads: []string{"af_alg"}, undo: []string{"af_alg"},
			check: func(t *testing.T, who *tracer.Actor, pid uint32) {
				expectLine(t, who, pid, 1, "opener", "login")
				if who.UID != 65534 || who.User != "nobody" || who.Capabilities != 0 {
					t.Errorf("user %d (%s), capabilities %s", who.UID, who.User, who.Capabilities)
				}
			}},
		{name: "modprobe with dependencies", command: []string{"modprobe", "vxlan"}, loads: []string{"udp_tunnel", "vxlan"}, undo: []string{"vxlan"},
			check: func(t *testing.T, who *tracer.Actor, pid uint32) { expectLine(t, who, pid, 0, "modprobe") }},
		{name: "in a container", command: []string{roles.Path("contain"), "system.slice/docker-" + aContainer + ".scope", "insmod", hello}, loads: []string{"hello"}, undo: []string{"hello"},
			check: func(t *testing.T, who *tracer.Actor, pid uint32) {
				expectLine(t, who, pid, 1, "insmod", "contain")
				expectContained(t, who)
			}},
		{name: "a container's request", command: []string{roles.Path("contain"), "system.slice/docker-" + aContainer + ".scope", "ip", "link", "add", "kmodtrace2", "type", "dummy"},
			asks: "rtnl-link-dummy", loads: []string{"dummy"}, undo: []string{"dummy"},
			check: func(t *testing.T, who *tracer.Actor, pid uint32) {
				expectLine(t, who, pid, 1, "ip", "contain")
				expectContained(t, who)
			}},
		{name: "nothing provides it", command: []string{"ip", "link", "add", "kmodtrace3", "type", "nosuchkind"}, fails: true, asks: "rtnl-link-nosuchkind",
			check: func(t *testing.T, who *tracer.Actor, pid uint32) { expectLine(t, who, pid, 0, "ip") }},
		{name: "far below", command: below(12, hello), loads: []string{"hello"}, undo: []string{"hello"},
			check: func(t *testing.T, who *tracer.Actor, pid uint32) {
				expectLine(t, who, pid, 13, slices.Concat([]string{"insmod"}, slices.Repeat([]string{"sh"}, 13))...)
			}},
		{name: "too far below", command: below(40, hello), loads: []string{"hello"}, undo: []string{"hello"},
			check: func(t *testing.T, who *tracer.Actor, _ uint32) {
				if len(who.Ancestors) != 31 || !who.AncestorsCut {
					t.Errorf("%d ancestors, cut: %t", len(who.Ancestors), who.AncestorsCut)
				}
			}},
	}
}

// below is a command that loads a module from so many shells below its own.
func below(shells int, file string) []string {
	return []string{"sh", "-c", `f() { if [ $1 = 0 ]; then insmod "$2"; else (f $(($1 - 1)) "$2"; exit $?); fi; }; f "$@"; exit $?`,
		"sh", strconv.Itoa(shells), file}
}

func testActor(t *testing.T, w *watch, c actorCase) {
	t.Helper()
	var pid uint32
	got := w.during(t, func() {
		pid = command(t, c)
	})
	for _, m := range c.undo {
		if _, err := os.Stat(specimen(m)); err == nil {
			sh(t, "/sbin/rmmod", m)
			continue
		}
		sh(t, "/sbin/modprobe", "-r", m)
	}
	loads, asked := make(map[string]bool), false
	for _, a := range got {
		if isNoise(a) || a.Kind == tracer.Unload {
			continue
		}
		if a.Actor == nil {
			t.Errorf("%s: nobody did it", brief(a))
			continue
		}
		checkWhole(t, a)
		switch {
		case a.Kind == tracer.Autoload && a.Module == c.asks:
			checkSite(t, a)
			asked = true
			c.check(t, a.Actor, pid)
		case a.Kind == tracer.Autoload: // further needs of the same command
			c.check(t, who(a), pid)
		case c.asks != "":
			checkHelped(t, a, c.asks)
			loads[a.Module] = true
			c.check(t, who(a), pid)
		default:
			loads[a.Module] = true
			c.check(t, a.Actor, pid)
		}
	}
	for _, m := range c.loads {
		if !loads[m] {
			t.Errorf("no load of %s among %v", m, loads)
		}
	}
	if asked != (c.asks != "") {
		t.Errorf("asked for %s: %t", c.asks, asked)
	}
}

// checkSite: the place that asked is named, and is that of the kernel's which does so.
func checkSite(t *testing.T, a tracer.Action) {
	t.Helper()
	functions := map[string]string{"fs-vfat": "get_fs_type", "net-pf-38": "sock_create", "rtnl-link-dummy": "rtnl_", "rtnl-link-nosuchkind": "rtnl_"}
	if want := functions[a.Module]; !strings.Contains(a.Request.Symbol, want) || a.Request.Symbol == "" {
		t.Errorf("%s: asked for in %q, want %s", brief(a), a.Request.Symbol, want)
	}
}

// who is the one whose wish it was.
func who(a tracer.Action) *tracer.Actor {
	if a.Requester == nil {
		return a.Actor
	}
	r := a.Requester
	for r.Requester != nil {
		r = r.Requester
	}
	return r.Actor
}

// command runs it and gives its process id, which is that of the first namespace here.
func command(t *testing.T, c actorCase) uint32 {
	t.Helper()
	cmd := exec.Command(c.command[0], c.command[1:]...)
	out, err := cmd.CombinedOutput()
	if (err != nil) != c.fails {
		t.Errorf("%q: %v\n%s", c.command, err, out)
	}
	return uint32(cmd.Process.Pid)
}

// checkWhole: no field is empty that a process of this machine has.
func checkWhole(t *testing.T, a tracer.Action) {
	t.Helper()
	for i, p := range append([]tracer.Process{a.Actor.Process}, a.Actor.Ancestors...) {
		empty := map[string]bool{
			"pid": p.PID == 0, "comm": p.Comm == "", "start": p.Start == 0, "cgroup": p.Cgroup.ID == 0 || p.Cgroup.Path == "",
			"program": p.Exe == nil != p.KernelThread || p.Exe != nil && (p.Exe.Path == "" || p.Exe.Inode == 0),
			"user":    p.User == "" || p.EffectiveUser == "",
			"pid ns":  p.Namespaces.PID.ID == 0, "mount ns": p.Namespaces.Mount.ID == 0, "user ns": p.Namespaces.User.ID == 0,
			"arguments": i == 0 && len(a.Actor.Args) == 0 && !p.KernelThread,
		}
		for field, is := range empty {
			if is {
				t.Errorf("%s: %s of %s[%d] is empty: %+v", brief(a), field, p.Comm, p.PID, p)
			}
		}
	}
	if a.Request != nil && (a.Request.Site == 0 || a.Request.Meaning == "") {
		t.Errorf("%s: request %+v", brief(a), a.Request)
	}
}

// checkHelped: the load is by the kernel's helper, for that request.
func checkHelped(t *testing.T, a tracer.Action, alias string) {
	t.Helper()
	if a.Requester == nil || a.Requester.Request.Name != alias && a.Requester.Requester == nil {
		t.Errorf("%s by %s: requester %+v", brief(a), a.Actor.Comm, a.Requester)
	}
	if a.Actor.Comm != "modprobe" || len(a.Actor.Ancestors) == 0 || !a.Actor.Ancestors[0].KernelThread {
		t.Errorf("%s: by %s, below %+v", brief(a), a.Actor.Comm, a.Actor.Ancestors)
	}
}

// expectLine: the actor and its ancestors are called so, and the one at that place
// is the process of that id; above it come the test and the guest's init.
func expectLine(t *testing.T, who *tracer.Actor, pid uint32, at int, comms ...string) {
	t.Helper()
	if who == nil {
		t.Error("nobody")
		return
	}
	line := append([]tracer.Process{who.Process}, who.Ancestors...)
	var got []string
	for _, p := range line[:min(len(comms), len(line))] {
		got = append(got, p.Comm)
	}
	if !slices.Equal(got, comms) {
		t.Errorf("%q, want %q", got, comms)
		return
	}
	if line[at].PID != pid {
		t.Errorf("%s has id %d, want %d", line[at].Comm, line[at].PID, pid)
	}
	if last := line[len(line)-1]; last.PID != 1 || who.AncestorsCut {
		t.Errorf("ends with %s[%d], cut: %t", last.Comm, last.PID, who.AncestorsCut)
	}
	if line[len(comms)].PID != uint32(os.Getpid()) {
		t.Errorf("%s is below %s[%d], not the test", comms[len(comms)-1], line[len(comms)].Comm, line[len(comms)].PID)
	}
	for i := range line[1:] {
		if line[i].Start < line[i+1].Start {
			t.Errorf("%s began before its parent", line[i].Comm)
		}
	}
}

func expectArgs(t *testing.T, who *tracer.Actor, args ...string) {
	t.Helper()
	if !slices.Equal(who.Args, args) || who.ArgsCut {
		t.Errorf("arguments %q, cut: %t", who.Args, who.ArgsCut)
	}
}

func expectExe(t *testing.T, who *tracer.Actor, path string) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	f := who.Exe
	if f == nil || f.Path != path || f.Inode != st.Ino || f.Size != uint64(st.Size) || f.Mode != st.Mode ||
		f.ChangeTimeNS != st.Ctim.Nano() {
		t.Errorf("program %+v, want %+v", f, st)
	}
}

func expectContained(t *testing.T, who *tracer.Actor) {
	t.Helper()
	c := who.Cgroup.Container
	if c == nil || c.ID != aContainer || c.Runtime != "docker" || who.Cgroup.Unit != "docker-"+aContainer+".scope" {
		t.Errorf("control group %+v, container %+v", who.Cgroup, c)
	}
	n := who.Namespaces
	if n.PID.Initial || n.Mount.Initial || !n.User.Initial || !n.Contained() {
		t.Errorf("namespaces %+v", n)
	}
	if last := who.Ancestors[len(who.Ancestors)-1].Namespaces; !last.PID.Initial || !last.Mount.Initial || last.Contained() {
		t.Errorf("first process's namespaces %+v", last)
	}
}
