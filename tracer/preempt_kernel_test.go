package tracer_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// TestLittleRoom: what finds no room among that which the kernel side keeps in flight is
// counted, and nothing is made up for it.
func TestLittleRoom(t *testing.T) {
	inLab(t)
	const returns, requests = 4, 4
	opts := &tracer.Options{Backend: tracer.Kprobe, Returns: returns}
	opts.TrackRequests(requests)
	w := open(t, opts)
	t.Run("missed ends", func(t *testing.T) { testMissedEnds(t, w) })
	t.Run("missed returns", func(t *testing.T) { testMissedReturns(t, w) })
	t.Run("requests untracked", func(t *testing.T) { testRequestsUntracked(t, w, requests) })
}

// testMissedEnds: loads whose return no hook saw are told, with the outcome that the kernel
// was seen to reach, although nothing follows in their threads: some are gone, and some wait
// for something else.
func testMissedEnds(t *testing.T, w *watch) {
	const processes, threads = 8, 4 // more than returns that can be waited for
	stay := make(chan struct{})
	defer close(stay)
	var loads sync.WaitGroup
	for i := range processes {
		loads.Go(func() { sh(t, "/sbin/insmod", specimen(fmt.Sprintf("nap%d", i)), "ms=3000") })
	}
	for i := range threads {
		loads.Add(1)
		go func() {
			runtime.LockOSThread()
			if err := finit(specimen(fmt.Sprintf("nap%d", processes+i)), "ms=3000"); err != nil {
				t.Error(err)
			}
			loads.Done()
			<-stay
		}()
	}
	loads.Wait()
	told, live := make(map[string]bool), 0
	late := time.After(2 * time.Minute)
	for len(told) < processes+threads {
		select {
		case a := <-w.actions:
			if a.Kind != tracer.Load || told[a.Module] || a.Outcome == tracer.Failed {
				t.Errorf("%s: %v", brief(a), a.Seen)
			}
			told[a.Module] = true
			want := tracer.Pending
			if a.Saw(tracer.KindInitReturn, tracer.KindLeave) {
				want = tracer.Live
			}
			if a.Outcome != want || a.EndLost == a.Saw(tracer.KindLeave) {
				t.Errorf("%s, end lost %t: %v", brief(a), a.EndLost, a.Seen)
			}
			if !a.EndLost {
				live++
			}
		case <-late:
			t.Fatalf("only %d loads are told", len(told))
		}
	}
	if live >= processes+threads {
		t.Errorf("no return was missed")
	}
	for i := range processes + threads {
		if err := unix.DeleteModule(fmt.Sprintf("nap%d", i), unix.O_NONBLOCK); err != nil {
			t.Error(err)
		}
	}
}

// testModuleOfManyLoads: threads that preempt each other inside the tracepoint's program,
// which the kernel then skips where it preempts itself: each load has its module all the same.
func testModuleOfManyLoads(t *testing.T, w *watch) {
	const threads = 16
	each := 8 * storm(t)
	got := w.during(t, func() {
		var all sync.WaitGroup
		for i := range threads {
			name := fmt.Sprintf("nap%d", i)
			all.Go(func() {
				for range each {
					if err := finit(specimen(name), "ms=0"); err != nil {
						t.Error(err)
					}
					err := error(unix.EINTR)
					for errors.Is(err, unix.EINTR) {
						err = unix.DeleteModule(name, unix.O_NONBLOCK)
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
	})
	loads := 0
	for _, a := range got {
		if a.Kind == tracer.Load {
			loads++
		}
		toldWhole(t, a)
	}
	if loads != threads*each {
		t.Errorf("%d loads, want %d", loads, threads*each)
	}
	if loss, err := w.Loss(); err != nil || loss.Any() {
		t.Errorf("loss: %+v, %v", loss, err)
	}
}

// testNothingIsLookedUp: what a reader asks again and again while it watches takes no
// look-up by system call, which would keep probes from running.
func testNothingIsLookedUp(t *testing.T, w *watch) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	// What was folded before is looked up once more, by whoever asks next.
	if _, err := w.Folded(); err != nil {
		t.Error(err)
	}
	hits := countLookUps(t)
	var value uint64
	if err := m.Lookup(uint32(0), &value); err != nil {
		t.Fatal(err)
	}
	before := hits()
	if before != 1 {
		t.Fatalf("%d look-ups, of one", before)
	}
	for range 10 {
		if _, err := w.Loss(); err != nil {
			t.Error(err)
		}
		if _, err := w.Folded(); err != nil {
			t.Error(err)
		}
		if all := w.Disturbances(); len(all) > 0 {
			t.Error(all)
		}
	}
	if n := hits() - before; n != 0 {
		t.Errorf("%d look-ups", n)
	}
}

// countLookUps counts the look-ups in maps by system call, of anybody, with a probe of its
// own.
func countLookUps(t *testing.T) (hits func() int) {
	t.Helper()
	const root, name = "/sys/kernel/tracing/", "kmodtrace_test_lookups"
	write := func(file, text string) error {
		f, err := os.OpenFile(root+file, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteString(text)
		return err
	}
	if err := write("kprobe_events", "p:"+name+" bpf_map_copy_value"); err != nil {
		t.Fatal(err)
	}
	enable := "events/kprobes/" + name + "/enable"
	if err := write(enable, "1"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(write(enable, "0"), write("kprobe_events", "-:"+name)); err != nil {
			t.Error(err)
		}
	})
	return func() int {
		text, err := os.ReadFile(root + "kprobe_profile")
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			if fields := bytes.Fields(line); len(fields) == 3 && string(fields[0]) == name {
				n, err := strconv.Atoi(string(fields[1]))
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
		}
		t.Fatalf("%s is not counted:\n%s", name, text)
		return 0
	}
}

// testProgramsCannotBeTakenOut: nobody takes the programs out that shared probes go on as,
// or the numbers of their functions, or puts others there.
func testProgramsCannotBeTakenOut(t *testing.T, w *watch) {
	probesShareEvents(t)
	found := 0
	for id := ebpf.MapID(0); ; {
		next, err := ebpf.MapGetNextID(id)
		if err != nil {
			break
		}
		id = next
		found += tryToEmpty(t, id)
	}
	if found < 40 {
		t.Errorf("only %d programs and numbers are there", found)
	}
	expect(t, w.during(t, func() {
		if out, err := exec.Command("/sbin/insmod", specimen("hello")).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		sh(t, "/sbin/rmmod", "hello")
	}), "load hello live", "unload hello unloaded")
	if loss, err := w.Loss(); err != nil || loss.Any() || len(w.Disturbances()) > 0 {
		t.Errorf("loss: %+v, %v, %v", loss, err, w.Disturbances())
	}
}

// tryToEmpty counts what is in a map, if it is one of those that shared probes need, and
// fails when any of it can be changed.
func tryToEmpty(t *testing.T, id ebpf.MapID) (n int) {
	t.Helper()
	m, err := ebpf.NewMapFromID(id)
	if err != nil {
		return 0
	}
	defer m.Close()
	info, err := m.Info()
	if err != nil || info.Name != "entries" && info.Name != "returns" && info.Name != "functions" {
		return 0
	}
	key, value := make([]byte, m.KeySize()), make([]byte, m.ValueSize())
	for each := m.Iterate(); each.Next(&key, &value); {
		n++
		if err := m.Delete(key); !errors.Is(err, unix.EPERM) {
			t.Errorf("delete from %s: %v", info.Name, err)
		}
		if err := m.Put(key, value); !errors.Is(err, unix.EPERM) {
			t.Errorf("put into %s: %v", info.Name, err)
		}
	}
	return n
}
