package tracer_test

import (
	"testing"

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
				meanwhile(t, second, "/sbin/insmod", specimen("nap3"), "ms=12000")
				meanwhile(t, second, "/sbin/rmmod", "slowexit")
				sh(t, "/sbin/rmmod", "nap3")
			})
			expect(t, got, "load slowexit live", "load nap3 live", "unload slowexit unloaded", "unload nap3 unloaded")
		})
	}
}

// meanwhile runs a command, and do beside it.
func meanwhile(t *testing.T, do func(), name string, args ...string) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		sh(t, name, args...)
	}()
	do()
	<-done
}
