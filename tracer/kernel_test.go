package tracer_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// These tests load real modules into a real kernel: the lab's. Outside it they
// are skipped.
func inLab(t testing.TB) {
	t.Helper()
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("loads modules into the running kernel: runs in a machine of the lab (make test)")
	}
}

// specimen is the path of a test module.
func specimen(name string) string {
	return filepath.Join(os.Getenv("KMODTRACE_MODULES"), name+".ko")
}

// watch is a tracer and the actions that it finished.
type watch struct {
	*tracer.Tracer
	actions chan tracer.Action
	fences  int
	took    time.Duration // to open
}

func open(t *testing.T, opts *tracer.Options) *watch {
	t.Helper()
	start := time.Now()
	tr, err := tracer.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	w := &watch{Tracer: tr, actions: make(chan tracer.Action, 1<<16), took: time.Since(start)}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(w.actions)
		for a, err := range tr.Actions(ctx) {
			if err != nil {
				t.Error(err)
				return
			}
			w.actions <- a
		}
	}()
	t.Cleanup(func() {
		cancel()
		for range w.actions {
		}
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// during returns the actions that finished while do ran, without waiting for
// any length of time: after do, it makes a refused unload of a name of its own,
// and what comes before that in the ring is do's.
func (w *watch) during(t *testing.T, do func()) []tracer.Action {
	t.Helper()
	do()
	err := error(unix.EINTR) // by the Go runtime's own signals
	for ; errors.Is(err, unix.EINTR); err = unix.DeleteModule(w.fence(), unix.O_NONBLOCK) {
		w.fences++
	}
	if !errors.Is(err, unix.ENOENT) {
		t.Fatalf("unload %s: %v", w.fence(), err)
	}
	var got []tracer.Action
	for a := range w.actions {
		switch {
		case a.Module == w.fence():
			return got
		case a.Errno == unix.EINTR && strings.HasPrefix(a.Module, fmt.Sprintf("fence_%p_", w)):
			// interrupted, and tried again
		default:
			got = append(got, a)
		}
	}
	t.Fatal("the tracer ended before its fence")
	return nil
}

// fence is the last name that w used: no other watch uses it.
func (w *watch) fence() string { return fmt.Sprintf("fence_%p_%d", w, w.fences) }

// mayMiss tells whether the kernel may run a function and not its hook, and count that:
// trampolines do where it preempts itself.
func mayMiss(b tracer.Backend) bool {
	return b == tracer.Fentry && tracer.HaveNoPreemption() != nil
}

// whileOpening is the parameter of a module that sleeps for longer than it takes to close one
// tracer and open another, by what it took to open one: that depends on the machine.
func whileOpening(took time.Duration) string {
	return fmt.Sprint("ms=", (6*took + 3*time.Second).Milliseconds())
}

// backend is the one that was taken.
func (w *watch) backend() tracer.Backend { return w.Coverage().Backend }

// skipWhereMissed skips what is of threads that preempt each other.
func (w *watch) skipWhereMissed(t *testing.T) {
	t.Helper()
	if mayMiss(w.backend()) {
		t.Skipf("trampolines miss threads that preempt each other, and say so (testStorm): %v", tracer.HaveNoPreemption())
	}
}

// brief is an action in one line: what, which module, what became of it.
func brief(a tracer.Action) string {
	s := fmt.Sprintf("%s %s %s", a.Kind, a.Module, a.Outcome)
	if a.Errno != 0 {
		s += " " + a.ErrnoName
	}
	if a.Crashed {
		s += " crashed"
	}
	return s
}

func expect(t *testing.T, got []tracer.Action, want ...string) {
	t.Helper()
	var lines []string
	for _, a := range got {
		lines = append(lines, brief(a))
		if a.Outcome != tracer.Pending && !a.Proven() {
			t.Errorf("%s: not proven by its events %v", brief(a), a.Seen)
		}
		if a.Lost != 0 || a.EndLost || a.Partial {
			t.Errorf("%s: lost %d, end lost %t, partial %t", brief(a), a.Lost, a.EndLost, a.Partial)
		}
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(lines, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func sh(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func finit(file, params string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.FinitModule(int(f.Fd()), params, 0)
}

// TestKernel does with one tracer of each backend whatever needs no tracer of its own: to
// open one takes longer than most of it.
func TestKernel(t *testing.T) {
	inLab(t)
	for i, backend := range []tracer.Backend{tracer.Fentry, tracer.Kprobe} {
		t.Run(backend.String(), func(t *testing.T) {
			if backend == tracer.Fentry {
				if err := tracer.HaveFentry(); err != nil {
					skipKnown(t, err)
				}
			}
			// Under emulation storms are made sooner than they are told.
			w := open(t, &tracer.Options{Backend: backend, RingSize: 64 << 20})
			t.Run("coverage", func(t *testing.T) { testCoverage(t, w.Tracer) })
			for _, test := range kernelTests() {
				if test.only != tracer.Auto && test.only != backend {
					continue
				}
				t.Run(test.name, func(t *testing.T) { test.run(t, w) })
			}
			if loss, err := w.Loss(); err != nil || loss.Any() {
				t.Errorf("loss: %+v, %v", loss, err)
			}
			for _, test := range kernelStorms() {
				if test.only != tracer.Auto && test.only != backend {
					continue
				}
				t.Run(test.name, func(t *testing.T) { test.run(t, w) })
			}
			t.Run("directories", func(t *testing.T) { testDirectories(t, w) })
			t.Run("actor", func(t *testing.T) { testActors(t, w, i > 0 && tracer.HaveFentry() == nil) })
			t.Run("disturbed switches", func(t *testing.T) { testDisturbedSwitches(t, w) }) // is told from then on
		})
	}
}

// kernelTest is what is done with a tracer that others use before and after.
type kernelTest struct {
	name string
	run  func(*testing.T, *watch)
	only tracer.Backend // Auto: each
}

// kernelTests lists those in which no tracer loses anything. Of one backend alone is what is
// about its probes, or the same code for each.
func kernelTests() []kernelTest {
	return []kernelTest{
		{name: "probes share events", run: testProbesShareEvents, only: tracer.Kprobe},
		{name: "load and unload", run: testLoadUnload},
		{name: "distribution's modules", run: testModprobe},
		{name: "refused", run: testRefused},
		{name: "refused for want of rights", run: testUnprivileged},
		{name: "failed init", run: testFailedInit},
		{name: "positive init", run: testPositiveInit},
		{name: "one file at once", run: testOneFile},
		{name: "messages", run: testMessages},
		{name: "requests", run: testRequests},
		{name: "another helper", run: testOtherHelper},
		{name: "nested", run: testNested},
		{name: "32-bit", run: testCompat},
		{name: "files", run: testFiles},
		{name: "parameters", run: testParameters},
		{name: "second tracer", run: testSecondTracer},
		{name: "fence", run: testFence},
		{name: "self-test", run: testSelfTest},
		{name: "nothing is looked up", run: testNothingIsLookedUp},
		{name: "programs cannot be taken out", run: testProgramsCannotBeTakenOut, only: tracer.Kprobe},
	}
}

// kernelStorms lists those of many threads at once, of which trampolines miss some where the
// kernel preempts itself.
func kernelStorms() []kernelTest {
	return []kernelTest{
		{name: "storm", run: testStorm},
		{name: "requests at once", run: testRequestStorm},
		{name: "loads at once", run: testLoadsAtOnce},
		{name: "module of many loads", run: testModuleOfManyLoads, only: tracer.Kprobe},
	}
}

// storm is how many times over a test does what it does many times at once: $KMODTRACE_STORM,
// or, where the kernel preempts itself, so that what is hit is chance, three times, or once.
func storm(t *testing.T) int {
	t.Helper()
	if n := count(t, "KMODTRACE_STORM"); n > 0 {
		return n
	}
	if tracer.HaveNoPreemption() != nil {
		return 3
	}
	return 1
}

// count is the number in a variable, or 0 where there is none.
func count(t *testing.T, variable string) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s: want a number", variable, text)
	}
	return n
}

// skipKnown skips where the kernel is known to lack trampolines: arm64 before
// 6.4 has no direct calls. Anywhere else it is a failure.
func skipKnown(t *testing.T, err error) {
	t.Helper()
	release, _ := tracer.Release()
	if strings.Contains(release, "arm64") && strings.HasPrefix(release, "6.1.") {
		t.Skipf("arm64 before 6.4 has no direct calls for trampolines: %v", err)
	}
	t.Fatal(err)
}

// testAuto: what Auto takes sees all that there is, and misses nothing. What it takes does
// as when it is asked for by name, so little more is done with it.
func testAuto(t *testing.T, tr *tracer.Tracer) {
	testCoverage(t, tr)
	if b := tr.Coverage().Backend; mayMiss(b) {
		t.Errorf("it took %s, which misses threads that preempt each other on this kernel", b)
	}
	t.Run("takes what shares events", func(t *testing.T) { testAutoTakesWhatSharesEvents(t, tr) })
}

// testCoverage: on the kernels of the matrix every hook that is for them
// attaches, except where the kernel lacks the function.
func testCoverage(t *testing.T, tr *tracer.Tracer) {
	t.Helper()
	c := tr.Coverage()
	t.Logf("backend %s %s", c.Backend, c.WhyKprobe)
	for _, h := range c.Hooks {
		switch {
		case !h.Attached && h.Absent && h.Need == tracer.WherePresent:
			t.Logf("%s %s: not in this kernel", h.How, h.Target)
		case !h.Attached:
			t.Errorf("%s %s is not attached: %s", h.How, h.Target, h.Why)
		case h.Why != "":
			t.Logf("%s %s instead: %s", h.How, h.Target, h.Why)
		}
	}
}
