package holders_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/holders"
)

const takerHold = "/sys/module/taker/parameters/hold"

func openRefs(t *testing.T, module string) *holders.Refs {
	t.Helper()
	r, err := holders.OpenRefs(module)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// TestRefs: what a process does to a module's count is put down to it and to the
// place in the kernel, and adds up to what the count moved by.
func TestRefs(t *testing.T) {
	inLab(t)
	sh(t, "/sbin/insmod", specimen("taker"), "hold=0")
	before := refCount(t, "taker")
	r := openRefs(t, "taker")
	hold := exec.Command("sh", "-c", "echo 1 >"+takerHold)
	if out, err := hold.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	sites, err := r.Balance()
	if err != nil || len(sites) != 1 {
		t.Fatalf("sites %+v, %v", sites, err)
	}
	s := sites[0]
	if s.Gets != 1 || s.Puts != 0 || s.Balance != 1 || s.Comm != "sh" || int(s.PID) != hold.Process.Pid {
		t.Errorf("site %+v, want one get by sh[%d]", s, hold.Process.Pid)
	}
	if s.Call.Module != "taker" || s.Call.Function == "" || s.Start == 0 || s.Last < s.Start {
		t.Errorf("site %+v", s)
	}
	t.Logf("%s[%d] at %s", s.Comm, s.PID, s.Call)
	if moved := refCount(t, "taker") - before; moved != 1 {
		t.Errorf("the count moved by %d", moved)
	}
	testRefsOfOthers(t, r)
	testRefsUnload(t, r)
}

// testRefsOfOthers: what happens to other modules is not counted.
func testRefsOfOthers(t *testing.T, r *holders.Refs) {
	sh(t, "/sbin/modprobe", "dummy")
	sh(t, "/sbin/modprobe", "-r", "dummy")
	if total, err := r.Totals(); err != nil || total != (holders.Totals{Gets: 1}) {
		t.Errorf("totals %+v, %v", total, err)
	}
}

// testRefsUnload: another process drops it; the module goes, its names stay; one
// of the same name that comes later is not counted.
func testRefsUnload(t *testing.T, r *holders.Refs) {
	if err := os.WriteFile(takerHold, []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	sh(t, "/sbin/rmmod", "taker")
	sh(t, "/sbin/insmod", specimen("taker"))
	total, err := r.Totals()
	if want := (holders.Totals{Gets: 1, Puts: 1, Unloaded: true}); err != nil || total != want {
		t.Errorf("totals %+v, %v; want %+v", total, err, want)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	sites, err := r.Balance()
	if err != nil || len(sites) != 2 {
		t.Fatalf("after close: sites %+v, %v", sites, err)
	}
	for i, want := range []int64{1, -1} {
		if sites[i].Balance != want || sites[i].Call.Module != "taker" {
			t.Errorf("site %+v, want a balance of %d", sites[i], want)
		}
	}
	if int(sites[1].PID) != os.Getpid() {
		t.Errorf("dropped by %+v, want this process", sites[1])
	}
	if err := os.WriteFile(takerHold, []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	sh(t, "/sbin/rmmod", "taker")
}

func refCount(t *testing.T, module string) int {
	t.Helper()
	n, err := holders.RefCount(module)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestRefsOverflow: what finds no room among the sites is counted, and the sums
// have it.
func TestRefsOverflow(t *testing.T) {
	inLab(t)
	sh(t, "/sbin/insmod", specimen("taker"), "hold=0")
	r := openRefs(t, "taker")
	const rounds = 3000
	renaming(t, rounds, func() {
		for _, hold := range []string{"1", "0"} {
			if err := os.WriteFile(takerHold, []byte(hold), 0); err != nil {
				t.Error(err)
			}
		}
	})
	total, err := r.Totals()
	if err != nil || total.Gets != rounds || total.Puts != rounds || total.Lost == 0 {
		t.Errorf("totals %+v, %v", total, err)
	}
	sites, err := r.Balance()
	if err != nil {
		t.Fatal(err)
	}
	told := total.Lost
	for _, s := range sites {
		told += s.Gets + s.Puts
	}
	if told != 2*rounds {
		t.Errorf("%d sites have %d of %d, %d lost", len(sites), told-total.Lost, 2*rounds, total.Lost)
	}
	t.Logf("%d sites, lost %d", len(sites), total.Lost)
	sh(t, "/sbin/rmmod", "taker")
}

// renaming does something in a thread that has another name each time.
func renaming(t *testing.T, times int, do func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		// Never unlocked: a thread with another name must not serve others.
		runtime.LockOSThread()
		var err error
		for i := range times {
			name := append([]byte(fmt.Sprintf("round %d", i)), 0)
			err = errors.Join(err, unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name[0])), 0, 0, 0))
			do()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestRefsDependency: a module that needs another takes it where the kernel
// resolves symbols.
func TestRefsDependency(t *testing.T) {
	inLab(t)
	sh(t, "/sbin/insmod", specimen("base"))
	r := openRefs(t, "base")
	sh(t, "/sbin/insmod", specimen("user"))
	sites, err := r.Balance()
	if err != nil || len(sites) != 1 || sites[0].Balance != 1 || sites[0].Comm != "insmod" || sites[0].Call.Module != "" {
		t.Errorf("sites %+v, %v", sites, err)
	}
	for _, s := range sites {
		t.Logf("%s[%d] at %s", s.Comm, s.PID, s.Call)
	}
	sh(t, "/sbin/rmmod", "user", "base")
	if total, err := r.Totals(); err != nil || !total.Unloaded || total.Gets != 1 || total.Puts != 1 {
		t.Errorf("totals %+v, %v", total, err)
	}
}

func TestRefsOfNothing(t *testing.T) {
	inLab(t)
	for module, want := range map[string]error{"nosuch": holders.ErrNotLoaded, "kernel": holders.ErrNotCounted} {
		if module == "kernel" {
			module = builtin(t)
		}
		if r, err := holders.OpenRefs(module); !errors.Is(err, want) {
			t.Errorf("%s: %v, %v, want %v", module, r, err, want)
		}
	}
	for _, bad := range []string{"", "..", "a/b", strings.Repeat("x", 56), "a\x00b"} {
		if _, err := holders.OpenRefs(bad); err == nil {
			t.Errorf("%q is a module", bad)
		}
	}
}

// builtin is a part of the kernel that /sys/module shows.
func builtin(t *testing.T) string {
	for _, name := range []string{"printk", "kernel", "module", "workqueue"} {
		if _, err := os.Stat("/sys/module/" + name); err == nil {
			return name
		}
	}
	t.Fatal("/sys/module shows nothing that is built in")
	return ""
}
