package tracer_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/internal/roles"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// creatorTimes is how often a user's process has a kernel thread ask for modules: three times, or
// $KMODTRACE_TIMES.
func creatorTimes(t *testing.T) int { return max(3, times(t)) }

// TestCreators: what a kernel thread asks for is said to be for the process that had the thread
// made, and for no other; where that is not certain, for none.
func TestCreators(t *testing.T) {
	inLab(t)
	threader := specimen("threader")
	sh(t, "/sbin/insmod", threader)
	t.Cleanup(func() { mayUnload("threader") })
	threaderWrites(t, "hold", "nosuch-older") // a thread that is older than the tracer
	sh(t, "/sbin/modprobe", "af_alg")
	t.Cleanup(func() {
		mayUnload(template, "twofish_avx_x86_64", "twofish_x86_64_3way", "twofish_x86_64", "twofish_generic", "twofish_common", "algif_hash", "af_alg")
	})
	allowAlgorithms(t)
	installRoles(t, "login", "binder")
	w := open(t, nil)

	t.Run("a thread that is older than the tracer", func(t *testing.T) {
		got := w.during(t, func() { threaderWrites(t, "go", "") })
		expectNoCreator(t, requestOf(t, got, "nosuch-older"), "specimen-held")
	})
	t.Run("a user's algorithm", func(t *testing.T) {
		defer threadNoise(t)()
		for range creatorTimes(t) {
			testAlgorithm(t, w)
		}
	})
	t.Run("a thread of a writer", func(t *testing.T) {
		for i := range creatorTimes(t) {
			testThreadOf(t, w, "ask", fmt.Sprint("nosuch-asked-", i), "specimen-asks", 1)
		}
	})
	t.Run("a thread of a thread", func(t *testing.T) { testThreadOf(t, w, "nest", "nosuch-nested", "specimen-inner", 2) })
	t.Run("a thread of an init", func(t *testing.T) { testThreadOfInit(t, w) })
	t.Run("a thread of a module that a request loaded", func(t *testing.T) { testThreadOfHelper(t, w) })
	t.Run("who is gone", func(t *testing.T) {
		var writer uint32
		got := w.during(t, func() {
			writer = threaderWrites(t, "hold", "nosuch-held")
			threaderWrites(t, "go", "")
		})
		expectCreator(t, requestOf(t, got, "nosuch-held"), "specimen-held", "sh", writer, 1)
	})
	t.Run("a thread for the work of others", func(t *testing.T) {
		got := w.during(t, func() { threaderWrites(t, "worker", "nosuch-work") })
		expectNoCreator(t, requestOf(t, got, "nosuch-work"), "specimen-worker")
	})
	t.Run("a worker of a workqueue", func(t *testing.T) {
		got := w.during(t, func() { threaderWrites(t, "schedule", "nosuch-queued") })
		r := requestOf(t, got, "nosuch-queued")
		expectNoCreator(t, r, "kworker/")
		if r.Actor != nil && !r.Actor.Worker {
			t.Errorf("%s is no worker", r.Actor.Comm)
		}
	})
	t.Run("an id that is used again", func(t *testing.T) { testCreatorIDUsedAgain(t, w) })
	if loss, err := w.Loss(); err != nil || loss.Any() {
		t.Errorf("loss: %+v, %v", loss, err)
	}
}

// allowAlgorithms lifts what Debian's 7.3 restricts.
func allowAlgorithms(t *testing.T) {
	t.Helper()
	const setting = "/proc/sys/crypto/af_alg_restrict"
	was, err := os.ReadFile(setting)
	if err != nil {
		return // an older kernel
	}
	if err := os.WriteFile(setting, []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.WriteFile(setting, was, 0) })
}

func mayUnload(modules ...string) {
	for _, m := range modules {
		_ = unix.DeleteModule(m, unix.O_NONBLOCK)
	}
}

// threaderWrites has a shell write to a parameter of threader, and gives its process id.
func threaderWrites(t *testing.T, parameter, value string) uint32 {
	t.Helper()
	cmd := exec.Command("sh", "-c", fmt.Sprintf("echo %s >/sys/module/threader/parameters/%s", value, parameter))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", cmd.Args, err, out)
	}
	return uint32(cmd.Process.Pid)
}

// noisy is the user of threadNoise.
const noisy = 1001

// threadNoise has another user's processes ask for algorithms, each by a kernel thread of its own,
// until it is stopped.
func threadNoise(t *testing.T) (stop func()) {
	const loop = `n=0; while :; do %s %d %s hash "noise$n(x)"; n=$((n+1)); done 2>/dev/null`
	cmd := exec.Command("sh", "-c", fmt.Sprintf(loop, roles.Path("login"), noisy, roles.Path("binder")))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// bindAs has a user's process ask for an algorithm. The id is that of the login, the parent of
// the process that asks.
func bindAs(t *testing.T, uid int, algorithm string) uint32 {
	t.Helper()
	cmd := exec.Command(roles.Path("login"), strconv.Itoa(uid), roles.Path("binder"), "hash", algorithm)
	out, err := cmd.CombinedOutput()
	if err != nil && !strings.Contains(string(out), unix.ENOENT.Error()) {
		t.Fatalf("%q: %v\n%s", cmd.Args, err, out)
	}
	return uint32(cmd.Process.Pid)
}

// template is a module that the kernel's crypto manager asks for in a thread of its own. xcbc(aes)
// is built in on arm64, and on 7.3: nobody asks for it there.
const template = "xcbc"

// testAlgorithm: a user's process asks for an algorithm whose template is a module. Others ask
// meanwhile.
func testAlgorithm(t *testing.T, w *watch) {
	t.Helper()
	var login uint32
	got := w.during(t, func() { login = bindAs(t, 1000, template+"(twofish)") })
	r := requestOf(t, got, "crypto-"+template)
	by := expectCreator(t, r, "cryptomgr_probe", "binder", login, 1)
	if by != nil && (by.UID != 1000 || by.User != "user" || by.Capabilities != 0 || by.Exe == nil || by.Exe.Path != roles.Path("binder")) {
		t.Errorf("user %d (%s), capabilities %s, program %+v", by.UID, by.User, by.Capabilities, by.Exe)
	}
	loaded := false
	for _, a := range got {
		switch {
		case a.Kind == tracer.Autoload && strings.HasPrefix(a.Module, "crypto-noise") && a.Actor.Behind().UID != noisy:
			t.Errorf("%s: for user %d: %+v", brief(a), a.Actor.Behind().UID, a.Actor)
		case a.Kind == tracer.Load && a.Module == template:
			loaded = true
			if by := who(a).Behind(); by.Comm != "binder" || by.UID != 1000 {
				t.Errorf("%s: for %s[%d] of user %d", brief(a), by.Comm, by.PID, by.UID)
			}
		}
	}
	if !loaded {
		t.Errorf("no load of %s in %v", template, got)
	}
	await.Until(t, template+" is unloaded", func() bool { // its self-test may use it still
		return errors.Is(unix.DeleteModule(template, unix.O_NONBLOCK), unix.ENOENT)
	})
}

// testThreadOf: a shell has a kernel thread made, which asks, or has another one made for that.
func testThreadOf(t *testing.T, w *watch, parameter, name, thread string, generation int) {
	t.Helper()
	var writer uint32
	got := w.during(t, func() { writer = threaderWrites(t, parameter, name) })
	by := expectCreator(t, requestOf(t, got, name), thread, "sh", writer, generation)
	if by != nil && (by.Exe == nil || !strings.HasSuffix(by.Exe.Path, "/dash")) {
		t.Errorf("program %+v", by.Exe)
	}
}

func testThreadOfInit(t *testing.T, w *watch) {
	sh(t, "/sbin/rmmod", "threader")
	cmd := exec.Command("/sbin/insmod", specimen("threader"), "want=nosuch-of-init")
	got := w.during(t, func() {
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	})
	expectCreator(t, requestOf(t, got, "nosuch-of-init"), "specimen-init", "insmod", uint32(cmd.Process.Pid), 1)
}

// testThreadOfHelper: behind the thread is modprobe, and behind that the process that needed the
// module which made the thread.
func testThreadOfHelper(t *testing.T, w *watch) {
	sh(t, "/sbin/rmmod", "threader")
	const conf = "/etc/modprobe.d/threader.conf"
	if err := os.MkdirAll(filepath.Dir(conf), 0o755); err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprintf("alias rtnl-link-threader threader\ninstall threader insmod %s want=nosuch-of-helper\n", specimen("threader"))
	if err := os.WriteFile(conf, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(conf)
	cmd := exec.Command("ip", "link", "add", "threader0", "type", "threader")
	got := w.during(t, func() { _ = cmd.Run() }) // there is no such kind in the end
	r := requestOf(t, got, "nosuch-of-helper")
	if r.Actor == nil || r.Actor.StartedBy == nil || r.Requester == nil || r.Requester.Actor == nil {
		t.Fatalf("by %+v, requester %+v", r.Actor, r.Requester)
	}
	if by := r.Actor.StartedBy; by.Comm != "insmod" || r.Requester.Actor.PID != uint32(cmd.Process.Pid) {
		t.Errorf("started by %s, for %s[%d], want id %d", by.Comm, r.Requester.Actor.Comm, r.Requester.Actor.PID, cmd.Process.Pid)
	}
}

// testCreatorIDUsedAgain: a thread whose making nobody sees gets the id of one whose creator is known.
func testCreatorIDUsedAgain(t *testing.T, w *watch) {
	const last = "/proc/sys/kernel/ns_last_pid"
	if _, err := os.Stat(last); err != nil {
		t.Skip("this kernel does not let anybody choose ids: no CONFIG_CHECKPOINT_RESTORE")
	}
	for range 20 { // somebody else may take the id
		got := w.during(t, func() { threaderWrites(t, "ask", "nosuch-first") })
		first := requestOf(t, got, "nosuch-first").Actor
		got = w.during(t, func() {
			sh(t, "sh", "-c", fmt.Sprintf("echo %d >%s; echo nosuch-second >/sys/module/threader/parameters/worker", first.PID-1, last))
		})
		r := requestOf(t, got, "nosuch-second")
		expectNoCreator(t, r, "specimen-worker")
		if r.Actor.PID == first.PID {
			return
		}
	}
	t.Error("no id was used again")
}

// requestOf is the only request for that name.
func requestOf(t *testing.T, got []tracer.Action, name string) tracer.Action {
	t.Helper()
	var found []tracer.Action
	for _, a := range got {
		if a.Kind == tracer.Autoload && a.Module == name {
			found = append(found, a)
		}
	}
	if len(found) != 1 || found[0].Actor == nil {
		t.Fatalf("%d requests for %s in %v: %+v", len(found), name, got, found)
	}
	return found[0]
}

// expectCreator: a kernel thread asks, and the process behind it is named so; it, or its parent
// where it is no shell, has that id.
func expectCreator(t *testing.T, r tracer.Action, thread, comm string, pid uint32, generations int) *tracer.Actor {
	t.Helper()
	who := r.Actor
	if who.Comm != thread || !who.KernelThread || who.Worker {
		t.Errorf("%s: by %s[%d]", brief(r), who.Comm, who.PID)
	}
	n := 0
	for range who.Creators() {
		n++
	}
	by := who.Behind()
	if n != generations || by == who {
		t.Errorf("%s: %d creators, want %d: %+v", brief(r), n, generations, who.StartedBy)
		return nil
	}
	id := by.PID
	if comm == "binder" && len(by.Ancestors) > 0 && by.Ancestors[0].Comm == "login" {
		id = by.Ancestors[0].PID
	}
	if by.Comm != comm || id != pid {
		t.Errorf("%s: for %s[%d], below %v, want %s and id %d", brief(r), by.Comm, by.PID, by.Ancestors, comm, pid)
	}
	if n := len(by.Ancestors); n == 0 || by.AncestorsCut || by.Ancestors[n-1].PID != 1 {
		t.Errorf("%s: ancestors %+v, cut: %t", brief(r), by.Ancestors, by.AncestorsCut)
	}
	return by
}

func expectNoCreator(t *testing.T, r tracer.Action, thread string) {
	t.Helper()
	if !strings.HasPrefix(r.Actor.Comm, thread) || !r.Actor.KernelThread || r.Actor.StartedBy != nil {
		t.Errorf("%s: by %s, kernel thread: %t, started by %+v", brief(r), r.Actor.Comm, r.Actor.KernelThread, r.Actor.StartedBy)
	}
}
