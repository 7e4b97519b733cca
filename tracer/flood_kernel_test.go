package tracer_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// These tests are about callers who may not load modules, and what they can do to the
// record of those who may.

// asUser runs do in a thread of its own, with another user's rights and no capability.
// The user may be changed again by setThreadUser.
func asUser(t *testing.T, uid int, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with it
		if unix.Gettid() == os.Getpid() {
			// But the first does not, and the process would be said to be the user's.
			defer runtime.UnlockOSThread()
			asUser(t, uid, do)
			return
		}
		if err := setThreadUser(uid); err != nil {
			t.Errorf("become user %d: %v", uid, err)
			return
		}
		do()
	}()
	<-done
}

// setThreadUser changes the user of this thread alone, and keeps the way back.
func setThreadUser(uid int) error {
	for _, id := range []int{0, uid} {
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(id), uintptr(id), 0); errno != 0 {
			return errno
		}
	}
	return nil
}

// refused makes n unloads that are refused for want of the capability.
func refused(t *testing.T, n int) {
	for range n {
		if err := unix.DeleteModule("nosuch", unix.O_NONBLOCK); !errors.Is(err, unix.EPERM) {
			t.Errorf("unload: %v", err)
			return
		}
	}
}

// refusedInContainer makes them as root of a user namespace, which is user 1000 outside.
func refusedInContainer(t *testing.T, n int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestRefusedHelper$", "-test.v")
	cmd.Env = append(os.Environ(), "REFUSED="+strconv.Itoa(n))
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 1001, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 1001, Size: 1}},
		Credential:  &syscall.Credential{NoSetGroups: true},
	}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestRefusedHelper(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("REFUSED"))
	if err != nil {
		t.Skip("is run by another test")
	}
	if uid := os.Getuid(); uid != 0 {
		t.Errorf("user %d", uid)
	}
	refused(t, n)
}

// by counts what uid was told to have done.
func by(actions []tracer.Action, uid uint32) (n uint64) {
	for _, a := range actions {
		if a.Thread.UID == uid {
			n++
		}
	}
	return n
}

func folded(t *testing.T, w *tracer.Tracer) map[uint32]tracer.Folded {
	t.Helper()
	all, err := w.Folded()
	if err != nil {
		t.Fatal(err)
	}
	byUser := make(map[uint32]tracer.Folded)
	for _, f := range all {
		if f.Others {
			f.UID = 1<<32 - 1
		}
		byUser[f.UID] = f
	}
	return byUser
}

// testUnprivileged: what a user without rights is refused is told or counted, each once.
func testUnprivileged(t *testing.T, w *watch) {
	const n, uid = 200, 1000
	told := by(w.during(t, func() { asUser(t, uid, func() { refused(t, n) }) }), uid)
	if f := folded(t, w.Tracer)[uid]; told+f.Count != n || told < 8 || f.Count < n/4 {
		t.Errorf("%d told and %+v, of %d", told, f, n)
	}
}

// TestFolded is about the budgets. The entries of each backend spend by the same code, and
// come to it, by testUnprivileged. Each part has users of its own, and leaves enough of what
// all have together for the next.
func TestFolded(t *testing.T) {
	inLab(t)
	w := open(t, (&tracer.Options{RingSize: 16 << 20}).Unhurried())
	t.Run("calls", func(t *testing.T) { testFolded(t, w) })
	t.Run("requests", func(t *testing.T) { testRequestsOfTheUnprivileged(t, w) })
	t.Run("requests without helper", func(t *testing.T) { testRequestsWithoutHelper(t, w) })
	t.Run("many users", func(t *testing.T) { testFoldedOfManyUsers(t, w) }) // takes all counters
}

// testFolded: a user's first refusals are told in full, and the others counted, each once.
// A load by who may load is told as ever.
func testFolded(t *testing.T, w *watch) {
	const n = 2000
	before := tracer.SinceBoot()
	got := w.during(t, func() {
		asUser(t, 1000, func() { refused(t, n) })
		refusedInContainer(t, n)
		sh(t, "/sbin/insmod", specimen("hello"))
		sh(t, "/sbin/rmmod", "hello")
	})
	took := tracer.SinceBoot() - before
	counted := folded(t, w.Tracer)
	for _, uid := range []uint32{1000, 1001} {
		told, f := by(got, uid), counted[uid]
		if told+f.Count != n {
			t.Errorf("user %d: %d told and %+v, of %d", uid, told, f, n)
		}
		if most := 64 + uint64(4*took.Seconds()) + 8; told < 64 || told > most {
			t.Errorf("user %d: %d told, want 64 to %d", uid, told, most)
		}
		if f.Kind != tracer.Unload || f.Others || f.First < before || f.Last <= f.First || f.Last > tracer.SinceBoot() {
			t.Errorf("user %d: %+v", uid, f)
		}
	}
	var others []tracer.Action
	for _, a := range got {
		switch {
		case a.Thread.UID < 1000:
			others = append(others, a)
		case a.Kind != tracer.Unload || a.Outcome != tracer.Failed || a.Errno != unix.EPERM || a.Partial || a.Actor == nil || a.Call == nil || a.Call.Capable:
			t.Errorf("%s: partial %t, by %+v", brief(a), a.Partial, a.Actor)
		}
	}
	expect(t, others, "load hello live", "unload hello unloaded")
	if loss, err := w.Loss(); err != nil || loss.Any() && !mayMiss(w.backend()) {
		t.Errorf("loss %+v, %v", loss, err)
	}
}

// TestSlowReader: a reader that takes fewer refusals than the budgets allow finds a load
// behind a bounded number of them, however long that has gone on, and each refusal is told or
// counted.
func TestSlowReader(t *testing.T) {
	inLab(t)
	const (
		users = 8
		pause = 125 * time.Millisecond // for each action: half as many as the budget of all allows
		first = 160                    // actions before the load: a burst and more; then, by the budget alone, 280 would wait
		most  = 128 + 32               // a burst, and what comes in half a second
	)
	tr, err := tracer.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	flooding, stop := context.WithCancel(t.Context())
	defer stop()
	var made [users]uint64
	var flood sync.WaitGroup
	for i := range users {
		flood.Go(func() {
			asUser(t, 3000+i, func() {
				for ; flooding.Err() == nil; made[i]++ {
					refused(t, 1)
					time.Sleep(20 * time.Millisecond) // or the reader's thread hardly runs
				}
			})
		})
	}
	reading, end := context.WithCancel(t.Context())
	defer end()
	told, before, begun, seen := make(map[uint32]uint64), 0, false, false
	for a, err := range tr.Actions(reading) {
		if err != nil {
			t.Fatal(err)
		}
		if uid := a.Thread.UID; uid >= 3000 {
			told[uid]++
		}
		switch {
		case a.Kind == tracer.Load && a.Module == "hello":
			seen = true
			stop()
			flood.Wait()
			end()
		case begun && !seen:
			before++
		}
		if !begun && sum(told) >= first {
			begun = true
			sh(t, "/sbin/insmod", specimen("hello"))
		}
		if !seen {
			time.Sleep(pause)
		}
	}
	sh(t, "/sbin/rmmod", "hello")
	t.Logf("%d told before the load was made, and %d between that and its action", first, before)
	if !seen || before > most {
		t.Errorf("the load is seen: %t, behind %d other actions, want at most %d", seen, before, most)
	}
	var unread uint64
	counted := folded(t, tr)
	for i, n := range made {
		uid := uint32(3000 + i)
		if f := counted[uid]; told[uid]+f.Count != n {
			t.Errorf("user %d: %d told and %+v, of %d", uid, told[uid], f, n)
		}
		unread += counted[uid].Unread
	}
	if unread == 0 {
		t.Error("none is said to be counted because the reader was behind")
	}
	if loss, err := tr.Loss(); err != nil || loss.Any() && !mayMiss(tr.Coverage().Backend) {
		t.Errorf("loss %+v, %v", loss, err)
	}
}

func sum(counts map[uint32]uint64) (all uint64) {
	for _, n := range counts {
		all += n
	}
	return all
}

// testFoldedOfManyUsers: who has many users has no more told, and what finds no counter of
// its own is counted for all.
func testFoldedOfManyUsers(t *testing.T, w *watch) {
	const users, each = 1200, 2 // there are 1,024 counters
	before := tracer.SinceBoot()
	got := w.during(t, func() {
		asUser(t, 2000, func() {
			for i := range users {
				if err := setThreadUser(2000 + i); err != nil {
					t.Error(err)
				}
				refused(t, each)
			}
		})
	})
	took := tracer.SinceBoot() - before
	var counted, told uint64
	byUser := folded(t, w.Tracer)
	for uid, f := range byUser {
		if uid >= 2000 {
			counted += f.Count
		}
	}
	for _, a := range got {
		if a.Thread.UID >= 2000 {
			told++
		}
	}
	if told+counted != users*each {
		t.Errorf("%d told and %d counted, of %d", told, counted, users*each)
	}
	if most := 128 + uint64(16*took.Seconds()) + 16; told > most {
		t.Errorf("%d told, want at most %d", told, most)
	}
	if others := byUser[1<<32-1]; len(byUser) > 1025 || !others.Others || others.Count == 0 {
		t.Errorf("%d counters, of others %+v", len(byUser), others)
	}
}

// testRingIsKeptForLoads: while nobody reads the ring, those who may not load fill half of
// it at most, and the loads that follow are all told in full.
func testRingIsKeptForLoads(t *testing.T, tr *tracer.Tracer) {
	const loads = 5
	queued(t, tr)
	before, err := tr.Loss()
	if err != nil || before.Any() {
		t.Errorf("loss %+v, %v: before anything was to be lost", before, err)
	}
	defer withoutHelpers(t)()
	var wg sync.WaitGroup
	for i := range 8 { // each with a budget of its own, as far as that of all reaches
		wg.Go(func() {
			asUser(t, 3000+i, func() {
				refused(t, 100)
				requests(t, 100)
			})
		})
	}
	wg.Wait()
	for range loads {
		sh(t, "/sbin/insmod", specimen("hello"))
		sh(t, "/sbin/rmmod", "hello")
	}
	loss, err := tr.Loss()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("loss %+v", loss)
	if loss.Events == 0 || loss.Unprivileged != loss.Events || loss.Untracked != 0 || loss.Missed != 0 {
		t.Errorf("loss %+v: want events of the unprivileged alone", loss)
	}
	var told []tracer.Action
	for _, a := range queued(t, tr) {
		if a.Thread.UID == 0 {
			told = append(told, a)
		}
	}
	var want []string
	for range loads {
		want = append(want, "load hello live", "unload hello unloaded")
	}
	expect(t, told, want...)
}

// queued gives what the tracer has and nobody has read.
func queued(t *testing.T, tr *tracer.Tracer) (all []tracer.Action) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for a, err := range tr.Actions(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}

// withoutHelpers makes requests end at once, for there is no program to start, until it
// is undone.
func withoutHelpers(t *testing.T) (undo func()) {
	t.Helper()
	const helper = "/proc/sys/kernel/modprobe"
	before, err := os.ReadFile(helper)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(helper, []byte("/nosuch"), 0); err != nil {
		t.Fatal(err)
	}
	return func() { _ = os.WriteFile(helper, before, 0) }
}

// requests needs n times a module that there is not.
func requests(t *testing.T, n int) {
	for range n {
		// Not unix.Socket, which keeps the processor while it waits.
		if fd, _, errno := unix.Syscall(unix.SYS_SOCKET, unix.AF_ROSE, unix.SOCK_SEQPACKET, 0); errno == 0 {
			t.Error("there is such a family")
			unix.Close(int(fd))
		}
	}
}

// testRequestsOfTheUnprivileged: over the budget a request is told with who asked, without
// the ancestors, and its load still knows its requester. One that comes to no helper is
// counted.
func testRequestsOfTheUnprivileged(t *testing.T, w *watch) {
	// The kernel is to ask for a module that there is, at the end of the flood.
	const conf = "/etc/modprobe.d/flood.conf"
	if err := os.MkdirAll("/etc/modprobe.d", 0o755); err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprintf("alias net-pf-11 hello\ninstall hello insmod %s\n", specimen("hello"))
	if err := os.WriteFile(conf, []byte(line), 0o644); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(conf)
	const n = 200
	got := w.during(t, func() {
		func() {
			defer withoutHelpers(t)()
			asUser(t, 1000, func() { requests(t, n) })
		}()
		asUser(t, 1000, func() { requests(t, 1) })
		sh(t, "/sbin/rmmod", "hello")
	})
	var whole, cut, loads int
	for _, a := range got {
		switch {
		case a.Kind == tracer.Autoload && a.Module == "net-pf-11":
			if a.Actor == nil || a.Actor.PID != uint32(os.Getpid()) || a.Actor.Exe == nil || !a.Request.Unprivileged {
				t.Errorf("%s by %+v: %+v", brief(a), a.Actor, a.Request)
				continue
			}
			if whole++; a.Actor.AncestorsCut {
				whole--
				cut++
			}
		case a.Kind == tracer.Load && a.Module == "hello" && a.Outcome == tracer.Live:
			loads++
			if r := a.Requester; r == nil || r.Actor == nil || r.Actor.PID != uint32(os.Getpid()) || r.Thread.UID != 1000 {
				t.Errorf("%s for %+v", brief(a), r)
			}
		}
	}
	if whole < 64 || cut < 1 || whole+cut != n+1 || loads != 1 {
		t.Errorf("%d requests with ancestors, %d without, want %d; %d loads", whole, cut, n+1, loads)
	}
}

// testRequestsWithoutHelper: a request that is refused before there is a helper
// costs nothing, and so is made as often as anybody likes.
func testRequestsWithoutHelper(t *testing.T, w *watch) {
	const helper = "/proc/sys/kernel/modprobe"
	before, err := os.ReadFile(helper)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(helper, []byte("\n"), 0); err != nil {
		t.Fatal(err)
	}
	defer os.WriteFile(helper, before, 0)
	const n, uid = 1000, 1002
	got := w.during(t, func() { asUser(t, uid, func() { requests(t, n) }) })
	told, f := by(got, uid), folded(t, w.Tracer)[uid]
	if told+f.Count != n && told+f.Count != 2*n { // older kernels ask for the kind of socket too
		t.Errorf("%d told and %+v, of %d", told, f, n)
	}
	if f.Kind != tracer.Autoload || told < 64 || told > n/2 {
		t.Errorf("%d told, and %+v", told, f)
	}
	for _, a := range got {
		if a.Thread.UID == uid && (a.Outcome != tracer.Failed || a.Actor == nil) {
			t.Errorf("%s by %+v", brief(a), a.Actor)
		}
	}
}

// testRequestsUntracked: requests beyond what is kept in flight are counted.
func testRequestsUntracked(t *testing.T, w *watch, room uint64) {
	const slow = "/run/slow-helper"
	script := "#!/bin/sh\nwhile [ -e /run/slow ]; do sleep 0.05; done\nexit 1\n"
	if err := errors.Join(os.WriteFile(slow, []byte(script), 0o755), os.WriteFile("/run/slow", nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	const helper = "/proc/sys/kernel/modprobe"
	before, err := os.ReadFile(helper)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(helper, []byte(slow), 0); err != nil {
		t.Fatal(err)
	}
	defer os.WriteFile(helper, before, 0)
	const threads = 10
	var wg sync.WaitGroup
	for range threads {
		wg.Go(func() { requests(t, 1) })
	}
	for {
		loss, err := w.Loss()
		if err != nil {
			t.Fatal(err)
		}
		if loss.Untracked >= threads-room {
			break
		}
		runtime.Gosched()
	}
	if err := os.Remove("/run/slow"); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
}
