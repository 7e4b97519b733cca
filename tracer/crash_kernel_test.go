package tracer_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/tracer"
)

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
	// init_module, unlike finit_module, does not look at the table.
	image, err := os.ReadFile(specimen("hello"))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, w.during(t, func() {
		if err := unix.InitModule(image, ""); err != nil {
			t.Error(err)
		}
		if err := unix.DeleteModule("hello", unix.O_NONBLOCK); err != nil {
			t.Error(err)
		}
	}), "load hello live", "unload hello unloaded")
}
