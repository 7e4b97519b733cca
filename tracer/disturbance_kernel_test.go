package tracer_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// setSwitch writes to one of the kernel's switches, until the test ends.
func setSwitch(t *testing.T, file, value, before string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.WriteFile(file, []byte(before), 0) })
}

// testDisturbedSwitches: while hooks are switched off, and afterwards where the kernel side
// can see it, that is said.
func testDisturbedSwitches(t *testing.T, w *watch) {
	const kprobes, ftrace = "/sys/kernel/debug/kprobes/enabled", "/proc/sys/kernel/ftrace_enabled"
	if all := w.Disturbances(); len(all) > 0 {
		t.Fatalf("before: %v", all)
	}
	expectDisturbed := func(when string, counted uint64, states ...string) {
		t.Helper()
		var have []string
		for _, d := range w.Disturbances() {
			if d.Count == 0 {
				have = append(have, d.What)
			} else if d.What != "kprobes" || d.Count != counted {
				t.Errorf("%s: %+v, want %d times", when, d, counted)
			}
		}
		if strings.Join(have, " ") != strings.Join(states, " ") {
			t.Errorf("%s: %q, want %q", when, have, states)
		}
	}
	setSwitch(t, kprobes, "0", "1")
	expectDisturbed("kprobes off", 1, "kprobes")
	if w.backend() == tracer.Kprobe {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := w.SelfTest(ctx); err == nil {
			t.Error("the self-test sees its calls while kprobes are off")
		}
	}
	sh(t, "/sbin/insmod", specimen("hello"))
	sh(t, "/sbin/rmmod", "hello")
	setSwitch(t, kprobes, "1", "1")
	expectDisturbed("kprobes on again", 1)
	for _, a := range w.during(t, func() {}) {
		t.Logf("seen while kprobes were off: %s, partial %t", brief(a), a.Partial)
	}

	err := os.WriteFile(ftrace, []byte("0"), 0)
	if err != nil {
		t.Logf("ftrace cannot be switched off: %v", err)
		return
	}
	t.Cleanup(func() { _ = os.WriteFile(ftrace, []byte("1"), 0) })
	expectDisturbed("ftrace off", 1, "ftrace")
	sh(t, "/sbin/insmod", specimen("hello"))
	sh(t, "/sbin/rmmod", "hello")
	setSwitch(t, ftrace, "1", "1")
	expectDisturbed("ftrace on again", 1)
	for _, a := range w.during(t, func() {}) {
		t.Logf("seen while ftrace was off: %s, partial %t", brief(a), a.Partial)
	}
}

// testActorSetsLogin: a process that no login began can set a login uid without any right,
// and is shown with a doubt.
func testActorSetsLogin(t *testing.T, w *watch) {
	if _, err := os.Stat("/proc/self/loginuid"); err != nil {
		t.Skip("this kernel does not audit")
	}
	got := w.during(t, func() {
		cmd := exec.Command("sh", "-c", "echo 1000 > /proc/self/loginuid && cat /proc/self/loginuid && busybox rmmod nosuch")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 33, Gid: 33}}
		if out, _ := cmd.CombinedOutput(); !strings.HasPrefix(string(out), "1000") {
			t.Errorf("set it: %s", out)
		}
	})
	if len(got) != 1 || got[0].Actor == nil {
		t.Fatalf("%+v", got)
	}
	if who := got[0].Actor; who.LoginUID == nil || *who.LoginUID != 1000 || !who.LoginDoubtful || who.UID != 33 {
		t.Errorf("by %+v", who)
	}
}
