package tracer_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/roles"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// testTwoAsk: two processes need a module whose init takes a while.
func testTwoAsk(t *testing.T, w *watch) {
	const conf = "/etc/modprobe.d/two.conf"
	line := fmt.Sprintf("alias rtnl-link-kmtwo nap6\ninstall nap6 insmod %s ms=700\n", specimen("nap6"))
	if err := os.MkdirAll(filepath.Dir(conf), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, []byte(line), 0o644); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(conf)
	var pids []uint32
	got := w.during(t, func() {
		var both []*exec.Cmd
		for range 2 {
			cmd := exec.Command("ip", "link", "add", "two0", "type", "kmtwo")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			both = append(both, cmd)
		}
		for _, cmd := range both {
			_ = cmd.Wait() // there is no such kind in the end
			pids = append(pids, uint32(cmd.Process.Pid))
		}
	})
	sh(t, "/sbin/rmmod", "nap6")
	for _, a := range got {
		if a.Kind != tracer.Load || a.Module != "nap6" || a.Outcome != tracer.Live || a.SharedWith != 0 {
			continue
		}
		if a.Requester == nil {
			t.Errorf("%s: nobody asked", brief(a))
			return
		}
		names := []uint32{a.Requester.Actor.PID}
		for _, r := range a.AwaitedBy {
			if r.Actor.PID != names[0] { // ip asks twice
				names = append(names, r.Actor.PID)
			}
		}
		slices.Sort(names)
		slices.Sort(pids)
		if names = slices.Compact(names); !slices.Equal(names, pids) {
			t.Errorf("%s: asked for by %v, want %v", brief(a), names, pids)
		}
		return
	}
	t.Errorf("no load of nap6 in %v", got)
}

// testActorCgroup1: where the unified hierarchy is not used, the control group is that
// of memory.
func testActorCgroup1(t *testing.T, w *watch) {
	if err := os.MkdirAll("/run/cgroup1", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", "/run/cgroup1", "cgroup", 0, "memory"); err != nil {
		release, _ := tracer.Release()
		old := strings.HasPrefix(release, "5.10.") || strings.HasPrefix(release, "6.1.")
		if old || !errors.Is(err, unix.EINVAL) {
			t.Fatal(err)
		}
		t.Skip("memory has no hierarchy of its own in this kernel: no CONFIG_MEMCG_V1 (from 6.11)")
	}
	defer unix.Unmount("/run/cgroup1", 0)
	group := filepath.Join("/run/cgroup1/docker", aContainer)
	if err := os.MkdirAll(group, 0o755); err != nil {
		t.Fatal(err)
	}
	got := w.during(t, func() {
		sh(t, "sh", "-c", "echo 0 >"+group+"/cgroup.procs; insmod "+specimen("hello"))
		sh(t, "/sbin/rmmod", "hello")
	})
	expect(t, got, "load hello live", "unload hello unloaded")
	if t.Failed() {
		return
	}
	in, out := got[0].Actor.Cgroup, got[1].Actor.Cgroup
	if in.Path != "/docker/"+aContainer || in.Container == nil || in.Container.ID != aContainer || out.Path != "/" || out.Container != nil {
		t.Errorf("inside %+v, outside %+v", in, out)
	}
	for _, dir := range []string{group, filepath.Dir(group)} {
		_ = os.Remove(dir)
	}
}

// actAndGo loads modules from a login at a terminal, and gives the login's process id.
func actAndGo(t *testing.T) (pid uint32) {
	t.Helper()
	installRoles(t, "login", "sudo")
	login, sudo := roles.Path("login"), roles.Path("sudo")
	cmd := exec.Command(login, "1000", "sh", "-c", sudo+" insmod "+specimen("hello")+" && "+sudo+" ip link add gone0 type dummy")
	onTerminal(t, cmd)
	return uint32(cmd.Process.Pid)
}

// checkActorOfTheGone: all is known of processes that were gone before anybody read,
// a login's terminal among it.
func checkActorOfTheGone(t *testing.T, actions []tracer.Action, pid uint32) {
	t.Helper()
	var seen []string
	for _, a := range actions {
		seen = append(seen, brief(a))
		if a.Actor == nil {
			t.Errorf("%s: by nobody", brief(a))
			continue
		}
		checkWhole(t, a)
		line := who(a)
		i := slices.IndexFunc(line.Ancestors, func(p tracer.Process) bool { return p.PID == pid })
		if i < 0 {
			t.Errorf("%s: by %s, below %+v", brief(a), line.Comm, line.Ancestors)
		}
		if line.LoginUID == nil || line.Session == nil || !strings.HasPrefix(line.Terminal, "pts") {
			t.Errorf("%s: login %v, session %v, terminal %q", brief(a), line.LoginUID, line.Session, line.Terminal)
		}
	}
	if want := []string{"load hello live", "load dummy live", "request rtnl-link-dummy answered"}; !slices.Equal(seen, want) {
		t.Errorf("%q, want %q", seen, want)
	}
}

// onTerminal runs a command in a session of its own on a terminal.
func onTerminal(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		text := make([]byte, 4096)
		_ = master.SetReadDeadline(time.Now().Add(time.Second))
		n, _ := master.Read(text)
		t.Errorf("%q: %v\n%s", cmd.Args, err, text[:n])
	}
}

// testActorIDsUsedAgain: process ids that are used again, by other programs, do not
// mix up who did what.
func testActorIDsUsedAgain(t *testing.T, w *watch) {
	if err := os.WriteFile("/proc/sys/kernel/pid_max", []byte("400"), 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.WriteFile("/proc/sys/kernel/pid_max", []byte("32768"), 0o600)
	// When the last is used they begin again at 300 (RESERVED_PIDS): it may be far up to there.
	for last := 0; last < 300; {
		cmd := exec.Command("true")
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		last = cmd.Process.Pid
	}
	var ids []uint32
	got := w.during(t, func() {
		for i := range 90 { // and thirty shells, of the hundred ids that there are
			name := fmt.Sprintf("nosuch_%d", i)
			cmd := exec.Command("busybox", "rmmod", name)
			if i%3 == 0 {
				cmd = exec.Command("sh", "-c", "busybox rmmod "+name+"; :")
			}
			_ = cmd.Run()
			ids = append(ids, uint32(cmd.Process.Pid))
		}
	})
	starts := make(map[uint32]time.Duration)
	again := 0
	for i, a := range got {
		if a.Module != fmt.Sprintf("nosuch_%d", i) || a.Actor == nil {
			t.Fatalf("%d: %s by %+v", i, brief(a), a.Actor)
		}
		acted := a.Actor.Process
		if started := acted.Start; starts[acted.PID] != 0 && starts[acted.PID] != started {
			again++
		}
		starts[acted.PID] = acted.Start
		if !slices.Equal(a.Actor.Args, []string{"busybox", "rmmod", a.Module}) || acted.Exe == nil || !strings.HasSuffix(acted.Exe.Path, "/busybox") {
			t.Errorf("%s: by %q, program %+v", brief(a), a.Actor.Args, acted.Exe)
		}
		if i%3 == 0 {
			if acted = a.Actor.Ancestors[0]; acted.Comm != "sh" || !strings.HasSuffix(acted.Exe.Path, "/dash") {
				t.Errorf("%s: below %s, program %+v", brief(a), acted.Comm, acted.Exe)
			}
		}
		if acted.PID != ids[i] {
			t.Errorf("%s: by %s[%d], want id %d", brief(a), acted.Comm, acted.PID, ids[i])
		}
	}
	if again == 0 {
		t.Errorf("no id was used again in %d actions", len(got))
	}
}
