package tracer_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// These tests load real modules into a real kernel: the lab's. Outside it they
// are skipped.
func inLab(t *testing.T) {
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
}

func open(t *testing.T, opts *tracer.Options) *watch {
	t.Helper()
	tr, err := tracer.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	w := &watch{Tracer: tr, actions: make(chan tracer.Action, 1<<16)}
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
	w.fences++
	fence := w.fence()
	if err := unix.DeleteModule(fence, unix.O_NONBLOCK); !errors.Is(err, unix.ENOENT) {
		t.Fatalf("unload %s: %v", fence, err)
	}
	var got []tracer.Action
	for a := range w.actions {
		if a.Module == fence {
			return got
		}
		got = append(got, a)
	}
	t.Fatal("the tracer ended before its fence")
	return nil
}

// fence is the last name that w used: no other watch uses it.
func (w *watch) fence() string { return fmt.Sprintf("fence_%p_%d", w, w.fences) }

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

func TestKernel(t *testing.T) {
	inLab(t)
	for _, backend := range []tracer.Backend{tracer.Auto, tracer.Fentry, tracer.Kprobe} {
		t.Run(backend.String(), func(t *testing.T) {
			if backend == tracer.Fentry {
				if err := tracer.HaveFentry(); err != nil {
					skipKnown(t, err)
				}
			}
			w := open(t, &tracer.Options{Backend: backend})
			if backend == tracer.Auto {
				testCoverage(t, w)
				return
			}
			for _, test := range []struct {
				name string
				run  func(*testing.T, *watch)
				many bool // threads at once
			}{
				{name: "load and unload", run: testLoadUnload},
				{name: "distribution's modules", run: testModprobe},
				{name: "refused", run: testRefused},
				{name: "failed init", run: testFailedInit},
				{name: "positive init", run: testPositiveInit},
				{name: "parallel", run: testParallel, many: true},
				{name: "one file at once", run: testOneFile, many: true},
				{name: "messages", run: testMessages},
				{name: "requests", run: testRequests},
				{name: "nested", run: testNested},
				{name: "32-bit", run: testCompat},
				{name: "files", run: testFiles},
				{name: "parameters", run: testParameters},
			} {
				t.Run(test.name, func(t *testing.T) {
					if err := tracer.HaveNoPreemption(); test.many && backend == tracer.Fentry && err != nil {
						t.Skipf("trampolines miss threads that preempt each other, and say so (TestStorm): %v", err)
					}
					test.run(t, w)
				})
			}
			loss, err := w.Loss()
			if err != nil || loss.Any() {
				t.Errorf("loss: %+v, %v", loss, err)
			}
		})
	}
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

// testCoverage: on the kernels of the matrix every hook that is for them
// attaches, except where the kernel lacks the function.
func testCoverage(t *testing.T, w *watch) {
	c := w.Coverage()
	t.Logf("backend %s %s", c.Backend, c.WhyKprobe)
	for _, h := range c.Hooks {
		switch {
		case !h.Attached && h.Absent && h.Need == tracer.WherePresent:
			t.Logf("%s %s: not in this kernel", h.How, h.Target)
		case !h.Attached && h.Absent && h.Target == "idempotent_init_module" && runtime.GOARCH == "arm64":
			t.Logf("%s %s: inlined on arm64", h.How, h.Target)
		case !h.Attached:
			t.Errorf("%s %s is not attached: %s", h.How, h.Target, h.Why)
		case h.Why != "":
			t.Logf("%s %s instead: %s", h.How, h.Target, h.Why)
		}
	}
}

func testLoadUnload(t *testing.T, w *watch) {
	got := w.during(t, func() {
		sh(t, "/sbin/insmod", specimen("hello"), "whom=you")
		sh(t, "/sbin/rmmod", "hello")
	})
	expect(t, got, "load hello live", "unload hello unloaded")
	if t.Failed() {
		return
	}
	load, unload := got[0], got[1]
	if !slices.Contains(load.Messages, "hello: Hello, you!") {
		t.Errorf("messages of the load: %q", load.Messages)
	}
	if !slices.Contains(unload.Messages, "hello: Goodbye!") {
		t.Errorf("messages of the unload: %q", unload.Messages)
	}
	if load.Thread.Comm != "insmod" || unload.Thread.Comm != "rmmod" || load.Thread.UID != 0 {
		t.Errorf("threads: %+v, %+v", load.Thread, unload.Thread)
	}
	if load.File == nil || load.File.Path != specimen("hello") || load.File.Claimed {
		t.Errorf("file: %+v", load.File)
	}
	checkStat(t, load.File, specimen("hello"))
	if load.Params == nil || load.Params.Text != "whom=you" {
		t.Errorf("params: %+v", load.Params)
	}
	checkDetails(t, load.Details)
	checkStages(t, load)
	if load.InitResult == nil || *load.InitResult != 0 {
		t.Errorf("init result: %v", load.InitResult)
	}
	if age := time.Since(load.Time); age < 0 || age > time.Minute {
		t.Errorf("time of the load: %s, %s ago", load.Time, age)
	}
}

func checkStat(t *testing.T, f *tracer.File, path string) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	dev := tracer.Device{Major: unix.Major(st.Dev), Minor: unix.Minor(st.Dev)}
	if f == nil || f.Inode != st.Ino || f.Size != uint64(st.Size) || f.Device != dev {
		t.Errorf("file %+v, stat: inode %d, size %d, device %v", f, st.Ino, st.Size, dev)
	}
}

func checkDetails(t *testing.T, m *tracer.Module) {
	t.Helper()
	if m == nil {
		t.Fatal("no details")
	}
	if m.Address == 0 || m.Size == 0 || m.Version == "" || m.SrcVersion == "" {
		t.Errorf("details: %+v", m)
	}
	if got := m.Taints.Names(); !slices.Equal(got, []string{"out-of-tree", "unsigned"}) {
		t.Errorf("taints: %v", got)
	}
	if m.Signed == nil || *m.Signed {
		t.Errorf("signed: %v", m.Signed)
	}
}

func checkStages(t *testing.T, a tracer.Action) {
	t.Helper()
	var stages []tracer.Stage
	var end time.Duration
	for _, s := range a.Stages {
		stages = append(stages, s.Stage)
		if s.After < end || s.Took <= 0 || s.After+s.Took > a.Took {
			t.Errorf("stage %s: after %s, took %s, of %s", s.Stage, s.After, s.Took, a.Took)
		}
		end = s.After + s.Took
	}
	want := []tracer.Stage{
		tracer.StageRead, tracer.StageVerify, tracer.StageResolve, tracer.StageRelocate,
		tracer.StageFinalize, tracer.StageParams, tracer.StageSysfs, tracer.StageInit,
	}
	if !slices.Equal(stages, want) {
		t.Errorf("stages: %v", stages)
	}
	if a.Symbols == 0 {
		t.Error("no symbols were counted")
	}
}

func testModprobe(t *testing.T, w *watch) {
	got := w.during(t, func() {
		sh(t, "/sbin/modprobe", "8021q")
		sh(t, "/sbin/modprobe", "-r", "8021q")
	})
	var names []string
	for _, a := range got {
		names = append(names, brief(a))
	}
	// Which dependencies there are differs between kernels; 8021q comes last
	// and goes first.
	loads := slices.Index(names, "load 8021q live")
	if loads < 0 || slices.Index(names, "unload 8021q unloaded") != loads+1 {
		t.Errorf("actions: %q", names)
	}
	for _, a := range got {
		if a.Outcome == tracer.Failed || a.Details == nil || len(a.Details.Taints.Names()) != 0 {
			t.Errorf("%s: %+v", brief(a), a.Details)
		}
	}
}

func testRefused(t *testing.T, w *watch) {
	sh(t, "/sbin/insmod", specimen("taker"))
	w.during(t, func() {})
	empty := filepath.Join(t.TempDir(), "empty.ko")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(t.TempDir(), "a-text.ko")
	if err := os.WriteFile(text, []byte(strings.Repeat("not a module\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	var errs []error
	got := w.during(t, func() {
		errs = append(errs,
			unix.DeleteModule("taker", unix.O_NONBLOCK),
			unix.DeleteModule("nosuch", unix.O_NONBLOCK),
			finit(specimen("taker"), ""),
			finit(text, ""),
			finit(empty, ""),
			unix.FinitModule(-1, "", 0),
			unix.InitModule([]byte("garbage"), ""),
		)
	})
	var want []string
	for i, what := range []string{"unload taker", "unload nosuch", "load taker", "load a_text", "load empty", "load ", "load "} {
		var errno unix.Errno
		if !errors.As(errs[i], &errno) {
			t.Fatalf("%s: %v", what, errs[i])
		}
		want = append(want, what+" failed "+tracer.ErrnoName(errno))
	}
	expect(t, got, want...)
	if len(got) > 2 && got[2].Errno != unix.EEXIST {
		t.Errorf("second load of taker: %s", brief(got[2]))
	}
	if err := os.WriteFile("/sys/module/taker/parameters/hold", []byte("0"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, w.during(t, func() { sh(t, "/sbin/rmmod", "taker") }), "unload taker unloaded")
}

// A failed init: module_load and free_module fire, and neither is an outcome.
func testFailedInit(t *testing.T, w *watch) {
	got := w.during(t, func() {
		if err := finit(specimen("refuse"), "err=5"); !errors.Is(err, unix.EIO) {
			t.Errorf("refuse: %v", err)
		}
	})
	expect(t, got, "load refuse failed EIO")
	if t.Failed() {
		return
	}
	if !got[0].Saw(tracer.KindModuleLoad) || !got[0].Saw(tracer.KindFree) {
		t.Errorf("events: %v", got[0].Seen)
	}
	if got[0].InitResult == nil || *got[0].InitResult != -5 || got[0].Stage != tracer.StageInit {
		t.Errorf("init result %v in stage %s", got[0].InitResult, got[0].Stage)
	}
}

func testPositiveInit(t *testing.T, w *watch) {
	got := w.during(t, func() {
		if err := finit(specimen("positive"), ""); err != nil {
			t.Error(err)
		}
		sh(t, "/sbin/rmmod", "positive")
	})
	expect(t, got, "load positive live", "unload positive unloaded")
	if len(got) > 0 && (got[0].InitResult == nil || *got[0].InitResult <= 0) {
		t.Errorf("init result: %v", got[0].InitResult)
	}
}

// Sixty-four loads sleep in their inits at the same time: kretprobes with the
// kernel's default limit lose most of their returns.
func testParallel(t *testing.T, w *watch) {
	const n = 64
	got := w.during(t, func() {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				if err := finit(specimen(fmt.Sprintf("nap%d", i)), "ms=1500"); err != nil {
					t.Errorf("nap%d: %v", i, err)
				}
			})
		}
		wg.Wait()
	})
	var lines, want []string
	for _, a := range got {
		lines = append(lines, brief(a))
		if !a.Proven() || a.InitResult == nil || *a.InitResult != 0 || a.Took < 1500*time.Millisecond {
			t.Errorf("%s: seen %v, init %v, took %s", brief(a), a.Seen, a.InitResult, a.Took)
		}
	}
	for i := range n {
		want = append(want, fmt.Sprintf("load nap%d live", i))
	}
	slices.Sort(lines)
	slices.Sort(want)
	if !slices.Equal(lines, want) {
		t.Errorf("got %q", lines)
	}
	for i := range n {
		if err := unix.DeleteModule(fmt.Sprintf("nap%d", i), unix.O_NONBLOCK); err != nil {
			t.Error(err)
		}
	}
	w.during(t, func() {})
}

// Several threads load one file at once. From 6.5 the kernel loads it once and
// gives its result to all; before, one wins and the others get EEXIST.
func testOneFile(t *testing.T, w *watch) {
	const n = 4
	file := specimen("nap0")
	errs := make([]error, n)
	got := w.during(t, func() {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { errs[i] = unix.FinitModule(int(f.Fd()), "ms=500", 0) })
		}
		wg.Wait()
	})
	if len(got) != n {
		t.Fatalf("%d actions, want %d", len(got), n)
	}
	results := make(map[string]int)
	for _, err := range errs {
		results[fmt.Sprint(errnoOf(err))]++
	}
	own := 0
	for _, a := range got {
		results[fmt.Sprint(a.Errno)]--
		if a.Module != "nap0" {
			t.Errorf("%s", brief(a))
		}
		if a.Outcome == tracer.Live && a.SharedWith == 0 {
			own++
		}
	}
	for r, diff := range results {
		if diff != 0 {
			t.Errorf("result %s: %d more from the system calls than traced", r, diff)
		}
	}
	if own != 1 {
		t.Errorf("%d actions say that they loaded it themselves", own)
	}
	sh(t, "/sbin/rmmod", "nap0")
	w.during(t, func() {})
}

func errnoOf(err error) unix.Errno {
	var errno unix.Errno
	errors.As(err, &errno)
	return errno
}

func testMessages(t *testing.T, w *watch) {
	got := w.during(t, func() {
		sh(t, "/sbin/insmod", specimen("chatty"))
		sh(t, "/sbin/insmod", specimen("worker"))
		sh(t, "/sbin/rmmod", "chatty")
		sh(t, "/sbin/rmmod", "worker")
	})
	expect(t, got, "load chatty live", "load worker live", "unload chatty unloaded", "unload worker unloaded")
	if t.Failed() {
		return
	}
	chatty := slices.DeleteFunc(slices.Clone(got[0].Messages), func(m string) bool {
		return !strings.HasPrefix(m, "chatty: ") || strings.Contains(m, "taint")
	})
	if len(chatty) != 100 {
		t.Errorf("chatty said %d lines, first %q", len(chatty), chatty[:min(2, len(chatty))])
	}
	if !slices.Contains(got[1].Messages, "worker: message from the init") ||
		slices.Contains(got[1].Messages, "worker: message from the thread") {
		t.Errorf("messages of worker's load: %q", got[1].Messages)
	}
}

func testRequests(t *testing.T, w *watch) {
	got := w.during(t, func() {
		sh(t, "ip", "link", "add", "kmodtrace0", "type", "dummy")
		sh(t, "ip", "link", "del", "kmodtrace0")
		sh(t, "/sbin/rmmod", "dummy")
	})
	var load, request *tracer.Action
	for i, a := range got {
		switch {
		case a.Kind == tracer.Load && a.Module == "dummy":
			load = &got[i]
		case a.Kind == tracer.Autoload && a.Module == "rtnl-link-dummy":
			request = &got[i]
		}
	}
	if load == nil || request == nil {
		t.Fatalf("no load or no request in %v", got)
	}
	if load.Outcome != tracer.Live || load.Thread.Comm != "modprobe" {
		t.Errorf("load: %s by %+v", brief(*load), load.Thread)
	}
	if request.Outcome != tracer.Answered || !request.Request.Wait || request.Thread.Comm != "ip" {
		t.Errorf("request: %s by %+v: %+v", brief(*request), request.Thread, request.Request)
	}
	if load.Start < request.Start || load.End > request.End {
		t.Errorf("the load is not inside the request: %s to %s, %s to %s", load.Start, load.End, request.Start, request.End)
	}
	got = w.during(t, func() {
		// No such protocol family module anywhere: the helper answers 1.
		_ = exec.Command("ip", "link", "add", "kmodtrace0", "type", "nosuchthing").Run()
	})
	if len(got) == 0 {
		t.Fatal("no request for nosuchthing")
	}
	for _, a := range got {
		if a.Kind != tracer.Autoload || a.Outcome != tracer.Failed || a.HelperStatus == nil || *a.HelperStatus != 1<<8 {
			t.Errorf("%s: %+v, helper %v", brief(a), a.Request, a.HelperStatus)
		}
	}
}

func testNested(t *testing.T, w *watch) {
	got := w.during(t, func() {
		sh(t, "/sbin/insmod", specimen("nested"))
		sh(t, "/sbin/rmmod", "nested")
		sh(t, "/sbin/rmmod", "dummy")
	})
	expect(t, got, "load dummy live", "request dummy answered", "load nested live",
		"unload nested unloaded", "unload dummy unloaded")
}

func testCompat(t *testing.T, w *watch) {
	program := "testdata/bin/finit32"
	if _, err := os.Stat(program); err != nil {
		t.Skipf("no 32-bit program for this architecture: %v", err)
	}
	var err error
	w.during(t, func() { err = exec.Command(program).Run() })
	if errors.Is(err, unix.ENOEXEC) {
		t.Skipf("this kernel runs no 32-bit programs: %v", err)
	}
	got := w.during(t, func() {
		sh(t, program, "load", specimen("hello"))
		sh(t, program, "unload", "hello")
		sh(t, program, "init", specimen("hello"))
		sh(t, "/sbin/rmmod", "hello")
	})
	expect(t, got, "load hello live", "unload hello unloaded", "load hello live", "unload hello unloaded")
	for i, a := range got {
		if a.Call == nil || a.Call.Compat != (i < 3) {
			t.Errorf("%s: %+v", brief(a), a.Call)
		}
	}
	if len(got) > 0 && (got[0].File == nil || got[0].File.Path != specimen("hello")) {
		t.Errorf("file: %+v", got[0].File)
	}
}

// testFiles: a file that lives in memory, one whose name is gone, and a path
// that is too long to keep whole.
func testFiles(t *testing.T, w *watch) {
	image, err := os.ReadFile(specimen("hello"))
	if err != nil {
		t.Fatal(err)
	}
	load := func(fd int) tracer.File {
		got := w.during(t, func() {
			if err := unix.FinitModule(fd, "", 0); err != nil {
				t.Fatal(err)
			}
			if err := unix.DeleteModule("hello", unix.O_NONBLOCK); err != nil {
				t.Fatal(err)
			}
		})
		expect(t, got, "load hello live", "unload hello unloaded")
		if t.Failed() || got[0].File == nil {
			t.Fatal("no file")
		}
		return *got[0].File
	}

	memfd, err := unix.MemfdCreate("secret", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(memfd)
	if _, err := unix.Write(memfd, image); err != nil {
		t.Fatal(err)
	}
	if f := load(memfd); !f.Memfd || f.Deleted || f.Path != "/memfd:secret" {
		t.Errorf("memfd: %+v", f)
	}

	dir := t.TempDir()
	gone := filepath.Join(dir, "gone.ko")
	if err := os.WriteFile(gone, image, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(gone)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	if f := load(int(f.Fd())); !f.Deleted || f.Memfd || f.Path != gone {
		t.Errorf("deleted: %+v", f)
	}

	long := dir
	for range 8 {
		long = filepath.Join(long, strings.Repeat("d", 200))
	}
	if err := os.MkdirAll(long, 0o700); err != nil {
		t.Fatal(err)
	}
	long = filepath.Join(long, "hello.ko")
	if err := os.WriteFile(long, image, 0o600); err != nil {
		t.Fatal(err)
	}
	g, err := os.Open(long)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if f := load(int(g.Fd())); !f.PathCut || !strings.HasSuffix(long, strings.TrimPrefix(f.Path, "…")) {
		t.Errorf("long path: %+v", f)
	}
}

func testParameters(t *testing.T, w *watch) {
	for _, test := range []struct{ params, want string }{
		{`whom="two words"`, `whom="two words"`},
		{"whom=\xff\xfe", `whom=\xff\xfe`},
		{"whom=" + strings.Repeat("x", 1000), "whom=" + strings.Repeat("x", 1000)},
		{"unknown=1 whom=a", "unknown=1 whom=a"},
	} {
		got := w.during(t, func() {
			if err := finit(specimen("hello"), test.params); err != nil {
				t.Errorf("%.20q: %v", test.params, err)
			}
			_ = unix.DeleteModule("hello", unix.O_NONBLOCK)
		})
		expect(t, got, "load hello live", "unload hello unloaded")
		if len(got) > 0 && (got[0].Params == nil || got[0].Params.Text != test.want) {
			t.Errorf("%.20q: %+v", test.params, got[0].Params)
		}
	}
}

// A thread that dies in an init: the action ends, and later ones are traced. It
// runs alone in its machine, once for each backend: the dead thread's stack is
// still linked in the kernel's table of loads under way (from 6.5), and a later
// load whose inode falls into the same slot hangs.
func TestCrash(t *testing.T) {
	inLab(t)
	chosen := os.Getenv("KMODTRACE_CRASH")
	if chosen == "" {
		t.Skip("crashes the kernel: runs alone, with the backend in KMODTRACE_CRASH")
	}
	backend, err := tracer.ParseBackend(chosen)
	if err != nil {
		t.Fatal(err)
	}
	w := open(t, &tracer.Options{Backend: backend})
	got := w.during(t, func() {
		if err := exec.Command("/sbin/insmod", specimen("crash")).Run(); err == nil {
			t.Error("insmod survived the crash")
		}
	})
	expect(t, got, "load crash failed crashed")
	if t.Failed() {
		return
	}
	if !got[0].Saw(tracer.KindDied) || got[0].Stage != tracer.StageInit {
		t.Errorf("seen %v in stage %s", got[0].Seen, got[0].Stage)
	}
	said := strings.Join(got[0].Messages, "\n")
	if !strings.Contains(said, "BUG: ") && !strings.Contains(said, "Unable to handle kernel") {
		t.Errorf("messages: %q", got[0].Messages)
	}
	testLoadUnload(t, w)
}
