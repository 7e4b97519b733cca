package tracer_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// TestMissedEnds: loads whose return no hook saw are told, with the outcome that the kernel
// was seen to reach, although nothing follows in their threads: some are gone, and some wait
// for something else.
func TestMissedEnds(t *testing.T) {
	inLab(t)
	const slots, processes, threads = 2, 8, 4
	w := open(t, &tracer.Options{Backend: tracer.Kprobe, Returns: slots})
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
