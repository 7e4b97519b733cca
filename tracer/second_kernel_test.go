package tracer_test

import (
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// testSecondTracer: that another tracer attaches and detaches while a load sleeps in
// its init, and an unload in its exit, takes nothing from the first. Meanwhile both see the
// same.
func testSecondTracer(t *testing.T, w *watch) {
	ms := whileOpening(w.took)
	var fence string
	got := w.during(t, func() {
		sh(t, "/sbin/insmod", specimen("slowexit"), ms)
		var both sync.WaitGroup
		defer both.Wait()
		both.Go(func() { sh(t, "/sbin/insmod", specimen("nap3"), ms) })
		both.Go(func() { sh(t, "/sbin/rmmod", "slowexit") })
		waitForState(t, "nap3", "coming")
		waitForState(t, "slowexit", "going")
		t.Run("reader", func(t *testing.T) {
			second := open(t, &tracer.Options{Backend: w.backend()})
			expect(t, second.during(t, func() {
				sh(t, "/sbin/insmod", specimen("hello"))
				sh(t, "/sbin/rmmod", "hello")
			}), "load hello live", "unload hello unloaded")
			fence = second.fence()
		})
		for module, state := range map[string]string{"nap3": "coming", "slowexit": "going"} {
			if is := initState(module); is != state {
				t.Errorf("%s is %q before the second tracer is closed", module, is)
			}
		}
	})
	rest := w.during(t, func() { sh(t, "/sbin/rmmod", "nap3") })
	if len(got) == 6 && got[4].Kind == tracer.Unload { // which of the two ends first is chance
		got[4], got[5] = got[5], got[4]
	}
	expect(t, got, "load slowexit live", "load hello live", "unload hello unloaded", "unload "+fence+" failed ENOENT", "load nap3 live", "unload slowexit unloaded")
	expect(t, rest, "unload nap3 unloaded")
}

// initState is how far a module is on its way in or out, by the kernel's word for it.
func initState(module string) string {
	text, _ := os.ReadFile("/sys/module/" + module + "/initstate")
	return strings.TrimSpace(string(text))
}

// waitForState waits until a module is on its way in or out.
func waitForState(t *testing.T, module, state string) {
	t.Helper()
	await.Until(t, module+" "+state, func() bool { return initState(module) == state })
}
