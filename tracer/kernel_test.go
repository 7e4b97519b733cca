package tracer_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/tracer"
)

func TestSmoke(t *testing.T) {
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("no lab")
	}
	for _, b := range []tracer.Backend{tracer.Fentry, tracer.Kprobe} {
		start := time.Now()
		tr, err := tracer.Open(&tracer.Options{Backend: b})
		if err != nil {
			t.Fatal(err)
		}
		t.Log("attach", time.Since(start))
		for _, h := range tr.Coverage().Hooks {
			if !h.Attached {
				t.Logf("%+v", h)
			}
		}
		out, err := exec.Command("/sbin/modprobe", "dummy").CombinedOutput()
		t.Logf("%s %v", out, err)
		out, err = exec.Command("/sbin/rmmod", "dummy").CombinedOutput()
		t.Logf("%s %v", out, err)
		out, err = exec.Command("/sbin/modprobe", "dummy", "numdummies=abc").CombinedOutput()
		t.Logf("%s %v", out, err)
		hello := filepath.Join(os.Getenv("KMODTRACE_MODULES"), "hello.ko")
		out, err = exec.Command("/sbin/insmod", hello, "whom=Bob").CombinedOutput()
		t.Logf("%s %v", out, err)
		out, err = exec.Command("/sbin/rmmod", "hello").CombinedOutput()
		t.Logf("%s %v", out, err)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		for a, err := range tr.Actions(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			j, _ := json.Marshal(a)
			t.Logf("%s", j)
		}
		l, err := tr.Loss()
		t.Logf("%+v %v", l, err)
		start = time.Now()
		if err := tr.Close(); err != nil {
			t.Fatal(err)
		}
		t.Log("detach", time.Since(start))
	}
}
