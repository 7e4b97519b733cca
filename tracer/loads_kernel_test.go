package tracer_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/tracer"
)

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

// Several threads load one file at once. From 6.5 the kernel loads it once and
// gives its result to all; before, one wins and the others get EEXIST.
func testOneFile(t *testing.T, w *watch) {
	w.skipWhereMissed(t)
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

// testLoadsAtOnce: each of many loads at once is one action, also where a hook misses the
// beginning of some: fentry does on a kernel that preempts itself. Elsewhere each is told
// whole: kretprobes with the kernel's default limit lose most of the returns.
func testLoadsAtOnce(t *testing.T, w *watch) {
	image, err := os.ReadFile(specimen("nap0"))
	if err != nil {
		t.Fatal(err)
	}
	const many = 150
	const asleep = 1500 * time.Millisecond
	dir := t.TempDir()
	var names []string
	for i := range many {
		name := fmt.Sprintf("k%03d", i) // the kernel knows a module by the name inside the file
		names = append(names, name)
		if err := os.WriteFile(filepath.Join(dir, name), bytes.ReplaceAll(image, []byte("nap0"), []byte(name)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := w.during(t, func() {
		var group sync.WaitGroup
		for _, name := range names {
			group.Go(func() {
				if err := finit(filepath.Join(dir, name), fmt.Sprint("ms=", asleep.Milliseconds())); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		group.Wait()
	})
	for _, name := range names {
		if err := unix.DeleteModule(name, unix.O_NONBLOCK); err != nil {
			t.Errorf("unload %s: %v", name, err)
		}
	}
	w.during(t, func() {})
	var loads, unnamed, partial int
	var told []string
	for _, a := range got {
		if a.Kind != tracer.Load { // what a storm left
			continue
		}
		loads++
		if a.Module == "" {
			unnamed++
		}
		if a.Partial {
			partial++
		}
		told = append(told, a.Module)
		// msleep counts jiffies, which on a busy machine lag behind the clock and then catch up:
		// by the clock an init may sleep less than it asked for (1.41 s was seen).
		if !mayMiss(w.backend()) && (!a.Proven() || a.Outcome != tracer.Live || a.InitResult == nil || *a.InitResult != 0 || a.Took < asleep/2) {
			t.Errorf("%s: seen %v, init %v, took %s", brief(a), a.Seen, a.InitResult, a.Took)
		}
	}
	t.Logf("%d loads, %d not seen to begin, %d without a name", loads, partial, unnamed)
	if loads > many {
		t.Errorf("%d loads told of %d", loads, many)
	}
	if slices.Sort(told); !mayMiss(w.backend()) && !slices.Equal(told, names) {
		t.Errorf("got %q", told)
	}
	if loss, err := w.Loss(); err != nil || loss.Any() && !mayMiss(w.backend()) {
		t.Errorf("loss %+v, %v", loss, err)
	}
}
