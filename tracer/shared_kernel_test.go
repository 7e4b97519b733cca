package tracer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// probeEvents are this process's events in tracefs, with the functions of each.
func probeEvents(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("/sys/kernel/tracing/kprobe_events")
	if err != nil {
		t.Fatal(err)
	}
	events := make(map[string][]string)
	for line := range strings.Lines(string(text)) {
		name, function, _ := strings.Cut(strings.TrimSpace(line), " ")
		_, name, _ = strings.Cut(name, ":")
		if pid := os.Getpid(); strings.HasPrefix(name, fmt.Sprintf("kmodtrace_%d_", pid)) || strings.HasPrefix(name, fmt.Sprintf("kmodtraces_%d_", pid)) {
			events[name] = append(events[name], function)
		}
	}
	return events
}

// probesShareEvents skips on kernels that cannot tell a probe's program which function
// it is on, or not always.
func probesShareEvents(t *testing.T) {
	t.Helper()
	release, err := tracer.Release()
	if err != nil {
		t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	if major < 6 || major == 6 && minor < 1 {
		t.Skipf("%s: probes share events from 6.1 on", release)
	}
}

// All probes share two events, and each still has its own state in the coverage.
func testProbesShareEvents(t *testing.T, w *watch) {
	probesShareEvents(t)
	var want, got []string
	for _, h := range w.Coverage().Hooks {
		if h.Attached && h.How != "tracepoint" {
			want = append(want, h.Target)
		}
	}
	events := probeEvents(t)
	for _, functions := range events {
		got = append(got, functions...)
	}
	slices.Sort(want)
	slices.Sort(got)
	if len(events) != 2 || len(want) < 30 || !slices.Equal(got, want) {
		t.Errorf("%d events with probes on\n\t%q\nwant\n\t%q", len(events), got, want)
	}
	for name, c := range costs(t, w.Tracer) {
		if strings.HasPrefix(name, "kprobe_") || strings.HasPrefix(name, "kretprobe_") {
			t.Errorf("%+v: the kernel does not count it", c)
		}
	}
}

// Auto takes what is there sooner and gone sooner.
func testAutoTakesWhatSharesEvents(t *testing.T, tr *tracer.Tracer) {
	probesShareEvents(t)
	if c := tr.Coverage(); c.Backend != tracer.Kprobe || c.WhyKprobe != "" || len(probeEvents(t)) != 2 {
		t.Errorf("backend %s (%s), %d events", c.Backend, c.WhyKprobe, len(probeEvents(t)))
	}
}

// Where the kernel hides addresses from everybody, each probe is attached alone, and
// sees as much.
func TestEachAloneWhereAddressesAreHidden(t *testing.T) {
	inLab(t)
	probesShareEvents(t)
	const file = "/proc/sys/kernel/kptr_restrict"
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("2"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.WriteFile(file, bytes.TrimSpace(before), 0) })
	// The other backend's probes are some of these.
	w := open(t, &tracer.Options{Backend: tracer.Kprobe})
	testCoverage(t, w.Tracer)
	for name, functions := range probeEvents(t) {
		if len(functions) != 1 {
			t.Errorf("event %s is on %q", name, functions)
		}
	}
	testLoadUnload(t, w)
}

// Whoever removes all probes by name, as perf probe --del '*' does, takes shared ones
// away while they are in use. What is not seen any more counts as missed, and closing
// leaves nothing behind.
func TestSharedProbesThatSomebodyRemoves(t *testing.T) {
	inLab(t)
	probesShareEvents(t)
	tr, err := tracer.Open(&tracer.Options{Backend: tracer.Kprobe})
	if err != nil {
		t.Fatal(err)
	}
	if loss, err := tr.Loss(); err != nil || loss.Any() {
		t.Errorf("loss before: %+v, %v", loss, err)
	}
	// Not to truncate: that asks to remove all probes, and the kernel then does see
	// which are in use.
	f, err := os.OpenFile("/sys/kernel/tracing/kprobe_events", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var want uint64
	for name, functions := range probeEvents(t) {
		if _, err := f.WriteString("-:" + name); !errors.Is(err, unix.EBUSY) {
			t.Errorf("remove %s: %v", name, err)
		}
		want += uint64(len(functions) - 1)
	}
	left := 0
	for _, functions := range probeEvents(t) {
		left += len(functions)
	}
	// A kernel that refuses it has nothing to tell.
	if left != 2 {
		want = 0
	}
	loss, err := tr.Loss()
	if err != nil || loss.Missed != want {
		t.Errorf("%d probes left; loss %+v, %v: want %d", left, loss, err, want)
	}
	t.Logf("%d probes left; loss %+v", left, loss)
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
	if events := probeEvents(t); len(events) > 0 {
		t.Errorf("left behind: %v", events)
	}
}

// Whatever entry is seen has all its other hooks in place, while they are attached and
// when they are: an attempt whose beginning was told is told whole. Nor do modules that have
// types of their own and come and go meanwhile keep a tracer from opening.
func TestOpenWhileModulesLoad(t *testing.T) {
	inLab(t)
	for _, b := range backends() {
		t.Run(b.String(), func(t *testing.T) { testOpenWhileModulesLoad(t, b) })
	}
}

func testOpenWhileModulesLoad(t *testing.T, b tracer.Backend) {
	const threads = 3
	ctx, stop := context.WithCancel(context.Background())
	var cycles sync.WaitGroup
	defer cycles.Wait()
	defer stop()
	for i := range threads {
		if mayMiss(b) {
			break // how they are told is not looked at
		}
		name := fmt.Sprintf("nap%d", i)
		cycles.Go(func() {
			for ctx.Err() == nil {
				if err := finit(specimen(name), "ms=1"); err != nil {
					t.Error(err)
				}
				err := error(unix.EINTR)
				for err == unix.EINTR {
					err = unix.DeleteModule(name, unix.O_NONBLOCK)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	cycles.Go(func() {
		for ctx.Err() == nil {
			sh(t, "/sbin/modprobe", "dummy")
			sh(t, "/sbin/modprobe", "-r", "dummy")
		}
	})
	// Hundreds of loads are made while one opens.
	whole, openings := 0, max(1, count(t, "KMODTRACE_OPENINGS"))
	for i := range openings {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			// Under emulation loads are made sooner than they are told.
			w := open(t, &tracer.Options{Backend: b, RingSize: 32 << 20})
			w.skipWhereMissed(t)
			// The first fence ends what began while the tracer opened. The others may be so quick that
			// nothing begins and ends between them.
			before := whole
			for n := range 50 {
				if n > 1 && (whole > before || mayMiss(b)) {
					break
				}
				for _, a := range w.during(t, func() {}) {
					if strings.HasPrefix(a.Module, "nap") {
						whole += toldWhole(t, a)
					}
				}
			}
			if loss, err := w.Loss(); err != nil || loss.Any() {
				t.Errorf("loss: %+v, %v", loss, err)
			}
		})
	}
	if whole < openings && !mayMiss(b) {
		t.Errorf("only %d actions began while the tracer was open", whole)
	}
}

// toldWhole counts an action whose beginning was told, and fails when anything else of
// it was not.
func toldWhole(t *testing.T, a tracer.Action) int {
	t.Helper()
	if !a.Saw(tracer.KindEnter) || a.Errno != 0 {
		return 0
	}
	want := []tracer.Kind{tracer.KindModuleLoad, tracer.KindInit, tracer.KindInitReturn, tracer.KindLeave}
	if a.Kind == tracer.Unload {
		want = []tracer.Kind{tracer.KindFree, tracer.KindLeave}
	}
	for _, k := range want {
		if !a.Saw(k) {
			t.Errorf("%s: began and has no %s: %v", brief(a), k, a.Seen)
		}
	}
	if a.Kind == tracer.Load && len(a.Stages) != 8 {
		t.Errorf("%s: stages %v", brief(a), a.Stages)
	}
	return 1
}
