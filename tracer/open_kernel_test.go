package tracer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// backends are those that this kernel has.
func backends() []tracer.Backend {
	if tracer.HaveFentry() != nil {
		return []tracer.Backend{tracer.Kprobe}
	}
	return []tracer.Backend{tracer.Fentry, tracer.Kprobe}
}

// leftovers lists what a tracer has in the kernel: links, programs, and entries
// in tracefs.
func leftovers(t *testing.T) []string {
	t.Helper()
	var all []string
	for id := link.ID(0); ; {
		l, err := link.NewFromID(id + 1)
		if errors.Is(err, os.ErrNotExist) {
			break
		}
		if err == nil {
			info, _ := l.Info()
			id = info.ID
			all = append(all, fmt.Sprintf("link %d", id))
			l.Close()
			continue
		}
		id++
		if id > 1<<16 {
			break
		}
	}
	for id := ebpf.ProgramID(0); ; {
		next, err := ebpf.ProgramGetNextID(id)
		if err != nil {
			break
		}
		id = next
		all = append(all, fmt.Sprintf("program %d", id))
	}
	events, err := os.ReadFile("/sys/kernel/tracing/kprobe_events")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(events) {
		all = append(all, string(line))
	}
	return all
}

// TestEntriesInTracefs: a reader that was killed leaves entries in tracefs; the next one
// removes them. A child that holds its probes for a while, as one between fork and exec does,
// only delays the closing. The other backend's probes have their entries by the same code.
func TestEntriesInTracefs(t *testing.T) {
	inLab(t)
	const events = "/sys/kernel/tracing/kprobe_events"
	f, err := os.OpenFile(events, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	alone, shared, others := "kmodtrace_4194304_0123/stale", "kmodtraces_4194304_"+strings.Trim(namespace, "pid:[]")+"_0123/stale", "kmodtraces_4194304_1_0123/stale"
	for _, line := range []string{
		"r:" + alone + " do_init_module",
		"r:" + shared + " do_init_module",
		"r:" + shared + " free_module",
		"r:" + others + " do_init_module",
	} {
		if _, err := f.WriteString(line); err != nil {
			t.Fatal(err)
		}
	}
	defer f.WriteString("-:" + others)
	tr, err := tracer.Open(&tracer.Options{Backend: tracer.Kprobe})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(events)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte(alone)) || bytes.Contains(text, []byte(shared)) {
		t.Errorf("still there: %s", text)
	}

	child := exec.Command("/bin/sleep", "3")
	child.ExtraFiles = perfEvents(t)
	if len(child.ExtraFiles) == 0 {
		t.Fatal("no probes to hold")
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	for _, f := range child.ExtraFiles {
		f.Close()
	}
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
	if text, err = os.ReadFile(events); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(others)) {
		t.Errorf("%s may be in use by a process that this pid namespace does not show: %s", others, text)
	}
	if bytes.Count(text, []byte("\n")) != 1 {
		t.Errorf("left behind: %s", text)
	}
}

// perfEvents duplicates the descriptors of this process's perf events.
func perfEvents(t *testing.T) (events []*os.File) {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if file, err := os.Readlink(l); err != nil || file != "anon_inode:[perf_event]" {
			continue
		}
		n, err := strconv.Atoi(filepath.Base(l))
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.FcntlInt(uintptr(n), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, os.NewFile(uintptr(fd), "perf event"))
	}
	return events
}

// TestInTheMiddle closes a tracer in the middle of a load, which must not harm the kernel, the
// load, or the next tracer, and opens that one in the middle of the same. When both are closed
// nothing is left of them in the kernel.
func TestInTheMiddle(t *testing.T) {
	inLab(t)
	for _, b := range backends() {
		before := leftovers(t)
		t.Run(b.String(), func(t *testing.T) { testInTheMiddle(t, b, len(before)) })
		// The kernel frees programs behind the back of whoever closed them.
		if !await.True(func() bool { return slices.Equal(leftovers(t), before) }) {
			t.Errorf("%s: before %q, after %q", b, before, leftovers(t))
		}
	}
}

func testInTheMiddle(t *testing.T, b tracer.Backend, before int) {
	start := time.Now()
	tr, err := tracer.Open(&tracer.Options{Backend: b})
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	if open := leftovers(t); len(open) < before+20 {
		t.Errorf("only %q while open", open)
	}
	done := make(chan error, 1)
	go func() { done <- finit(specimen("nap2"), whileOpening(took)) }()
	waitForModule(t, "nap2")
	pending := queued(t, tr)
	if len(pending) != 1 || brief(pending[0]) != "load nap2 pending" {
		t.Errorf("pending: %v", pending)
	}
	if err := errors.Join(tr.Close(), tr.Close()); err != nil {
		t.Error(err)
	}
	w := open(t, &tracer.Options{Backend: b})
	select {
	case err := <-done:
		t.Fatalf("the load was over before the tracer was open: %v", err)
	default:
	}
	got := w.during(t, func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
		sh(t, "/sbin/rmmod", "nap2")
	})
	// The functions that it is inside of were entered unhooked; nothing
	// shows its end. Its unload is whole.
	expect(t, got, "unload nap2 unloaded")
}

func waitForModule(t *testing.T, name string) {
	t.Helper()
	await.Until(t, name+" in /proc/modules", func() bool {
		text, err := os.ReadFile("/proc/modules")
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(text, []byte(name+" "))
	})
}

// A ring that nobody reads overflows: what is missing is counted to the event,
// and no action is invented. One function finds the room for whatever program.
func TestLoss(t *testing.T) {
	inLab(t)
	tr, err := tracer.Open(&tracer.Options{RingSize: uint32(4 * os.Getpagesize())})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	// Who makes them is told at length once, and that fits. Each refused unload is then
	// the same events: it enters, who it is, the kernel looks for the name, it leaves.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var each uint64
	for range 2 {
		each = 0
		_ = unix.DeleteModule("nosuch", unix.O_NONBLOCK)
		for _, err := range tr.Events(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			each++
		}
	}
	const unloads = 200
	for i := range unloads {
		if err := unix.DeleteModule(fmt.Sprintf("nosuch_%d", i), unix.O_NONBLOCK); err == nil {
			t.Fatal("an unload of nothing worked")
		}
	}
	loss, err := tr.Loss()
	if err != nil {
		t.Fatal(err)
	}
	// A fence is smaller than what was lost, and may find room a few times; it is never an event.
	for err == nil {
		_, err = tr.Fence()
	}
	if !errors.Is(err, tracer.ErrRingFull) {
		t.Errorf("a fence in a full ring: %v", err)
	}
	var delivered uint64
	c := tracer.NewCorrelator(0)
	for e, err := range tr.Events(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		delivered++
		for _, a := range c.Add(e) {
			if a.Outcome != tracer.Failed && !a.EndLost || a.Kind != tracer.Unload {
				t.Errorf("invented: %s %+v", brief(a), a)
			}
		}
	}
	if delivered+loss.Events != each*unloads || loss.Events == 0 || each < 5 {
		t.Errorf("%d delivered and %d lost, of %d times %d", delivered, loss.Events, unloads, each)
	}
	passed, err := tr.Fence()
	if err != nil {
		t.Fatalf("a fence when the ring was read: %v", err)
	}
	for e, err := range tr.Events(ctx) {
		t.Errorf("more than a fence: %+v, %v", e, err)
	}
	if len(passed) != 1 {
		t.Error("the iteration ended before it came to the fence")
	}
}

// Many threads at once, preempting each other inside the hooks. Fentry misses
// some of them on a kernel that preempts itself, and must say so; Auto takes
// Kprobe there (testAuto).
func testStorm(t *testing.T, w *watch) {
	const threads = 16
	each := 200 * storm(t)
	before, err := w.Loss()
	if err != nil {
		t.Fatal(err)
	}
	got := w.during(t, func() {
		var wg sync.WaitGroup
		for i := range threads {
			name := fmt.Sprintf("nosuch_%d", i)
			wg.Go(func() {
				runtime.LockOSThread()
				for range each {
					_ = unix.DeleteModule(name, unix.O_NONBLOCK)
				}
			})
		}
		wg.Wait()
	})
	damaged := uint64(max(0, threads*each-len(got)))
	for _, a := range got {
		if a.EndLost || a.Partial {
			damaged++
			continue
		}
		// The kernel's lock is taken interruptibly, and Go's runtime sends signals to
		// threads that run for long.
		answered := a.Errno == unix.ENOENT || a.Errno == unix.EINTR
		if a.Kind != tracer.Unload || !answered || a.Lost != 0 {
			t.Errorf("%s, seen %v", brief(a), a.Seen)
		}
	}
	loss, err := w.Loss()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d actions, %d damaged, loss %+v", len(got), damaged, loss)
	if missed := loss.Missed - before.Missed; damaged > missed {
		t.Errorf("%d actions are damaged, and only %d hooks say that they missed", damaged, missed)
	}
	if mayMiss(w.backend()) {
		return
	}
	if loss.Any() || damaged > 0 || len(got) != threads*each {
		t.Errorf("%d actions, want %d; %d damaged; loss %+v", len(got), threads*each, damaged, loss)
	}
}

// testMissedReturns: with fewer slots than threads asleep, kretprobes miss returns: the kernel
// counts them, and so does Loss; what is left of the actions claims no outcome.
func testMissedReturns(t *testing.T, w *watch) {
	const threads = 16
	missed := func() (n uint64) {
		loss, err := w.Loss()
		if err != nil {
			t.Fatal(err)
		}
		for target, n := range loss.MissedBy {
			if strings.HasSuffix(target, "sys_finit_module") {
				return n
			}
		}
		return 0
	}
	before := missed()
	got := w.during(t, func() {
		var wg sync.WaitGroup
		for i := range threads {
			wg.Go(func() {
				runtime.LockOSThread() // the thread ends with its goroutine, and its attempt stays open
				if err := finit(specimen(fmt.Sprintf("nap%d", i)), "ms=1500"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
	for i := range threads {
		if err := unix.DeleteModule(fmt.Sprintf("nap%d", i), unix.O_NONBLOCK); err != nil {
			t.Error(err)
		}
	}
	live := 0
	for _, a := range got {
		if a.Outcome == tracer.Live && !a.EndLost {
			live++
		}
	}
	var n uint64
	await.True(func() bool { // before 5.14 they are counted when the reader finds out: see faultsCount
		w.during(t, func() {})
		n = missed() - before
		return n == uint64(threads-live)
	})
	t.Logf("%d live, %d returns missed", live, n)
	if live >= threads || n != uint64(threads-live) {
		t.Errorf("%d of %d loads have a return, and %d returns were missed", live, threads, n)
	}
}

// Probes that are turned off attach and never run: that is no tracing.
func TestKprobesOff(t *testing.T) {
	inLab(t)
	const file = "/sys/kernel/debug/kprobes/enabled"
	if err := os.WriteFile(file, []byte("0"), 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.WriteFile(file, []byte("1"), 0o600)
	tr, err := tracer.Open(nil)
	if !errors.Is(err, tracer.ErrKprobesOff) {
		t.Errorf("open: %v", err)
	}
	if err == nil {
		tr.Close()
	}
}

// TestBadPointersAreNoLoss: a caller whose memory cannot be read makes no loss of ours, as often as it calls.
func TestBadPointersAreNoLoss(t *testing.T) {
	inLab(t)
	for _, backend := range backends() {
		t.Run(backend.String(), func(t *testing.T) {
			w := open(t, &tracer.Options{Backend: backend})
			const bad = 1 << 46
			for range 20 {
				_, _, _ = unix.Syscall(unix.SYS_FINIT_MODULE, ^uintptr(0), bad, 0)
				_, _, _ = unix.Syscall(unix.SYS_INIT_MODULE, bad, 4096, bad)
				_, _, _ = unix.Syscall(unix.SYS_DELETE_MODULE, bad, unix.O_NONBLOCK, 0)
			}
			if loss, err := w.Loss(); err != nil || loss.Any() {
				t.Errorf("%+v, %v", loss, err)
			}
		})
	}
}
