package tracer_test

import (
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/tracer"
)

// TestSecondTracer: that another tracer attaches and detaches while a load sleeps in
// its init, and an unload in its exit, takes nothing from the first.
func TestSecondTracer(t *testing.T) {
	inLab(t)
	for _, backend := range []tracer.Backend{tracer.Fentry, tracer.Kprobe} {
		t.Run(backend.String(), func(t *testing.T) {
			if backend == tracer.Fentry {
				if err := tracer.HaveFentry(); err != nil {
					skipKnown(t, err)
				}
			}
			w := open(t, &tracer.Options{Backend: backend})
			second := func() {
				tr, err := tracer.Open(&tracer.Options{Backend: backend})
				if err != nil {
					t.Fatal(err)
				}
				if err := tr.Close(); err != nil {
					t.Error(err)
				}
			}
			got := w.during(t, func() {
				sh(t, "/sbin/insmod", specimen("slowexit"), "ms=12000")
				var both sync.WaitGroup
				both.Go(func() { sh(t, "/sbin/insmod", specimen("nap3"), "ms=12000") })
				both.Go(func() { sh(t, "/sbin/rmmod", "slowexit") })
				waitForState(t, "nap3", "coming")
				waitForState(t, "slowexit", "going")
				second()
				both.Wait()
				sh(t, "/sbin/rmmod", "nap3")
			})
			if len(got) == 4 && got[1].Kind == tracer.Unload { // which of the two ends first is chance
				got[1], got[2] = got[2], got[1]
			}
			expect(t, got, "load slowexit live", "load nap3 live", "unload slowexit unloaded", "unload nap3 unloaded")
		})
	}
}

// waitForState waits until a module is on its way in or out.
func waitForState(t *testing.T, module, state string) {
	t.Helper()
	for range 6000 {
		if text, _ := os.ReadFile("/sys/module/" + module + "/initstate"); strings.TrimSpace(string(text)) == state {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s is not %s within a minute", module, state)
}
