package cause

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// requested is a request that a helper answered without loading anything.
func requested(alias string, uid uint32) tracer.Action {
	return tracer.Action{
		Kind: tracer.Autoload, Module: alias, Outcome: tracer.Answered, Thread: tracer.Thread{UID: uid, PID: 41, Comm: "user"},
		Request: &tracer.Request{Name: alias, Wait: true},
	}
}

// TestRequestRuns: however many rules want to know it, modprobe is asked once for a request,
// which is two runs of one that leaves out what is blacklisted.
func TestRequestRuns(t *testing.T) {
	root := ordinary().with(files{"modprobe": modprobeScript("echo run >> \"${0}.runs\"; no")}).write(t)
	k, err := kernel.Open(&kernel.Options{Root: root, Modprobe: filepath.Join(root, "modprobe")})
	if err != nil {
		t.Fatal(err)
	}
	checkCause(t, NewExplainer(k, nil).Explain(t.Context(), requested("net-pf-9", 1000)).Cause, NothingProvides, "net-pf-9")
	text, err := os.ReadFile(filepath.Join(root, "modprobe.runs"))
	if err != nil {
		t.Fatal(err)
	}
	if runs := strings.Count(string(text), "\n"); runs > 3 { // the third is for its version
		t.Errorf("%d runs of modprobe for one request", runs)
	}
}

// TestRequestFlood: more requests than modprobe may be asked about have a cause that says
// so, and root's request after them has its own.
func TestRequestFlood(t *testing.T) {
	root := ordinary().with(files{"modprobe": modprobeScript("until [ -e \"${0}.go\" ]; do sleep 0.05; done; no")}).write(t)
	k, err := kernel.Open(&kernel.Options{Root: root, Modprobe: filepath.Join(root, "modprobe")})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			c := NewExplainer(k, nil).Explain(t.Context(), requested("net-pf-"+strconv.Itoa(i), 1000)).Cause
			if c == nil || c.Code != Unknown || !strings.Contains(strings.Join(c.Evidence, "\n"), "not looked up: ") {
				t.Errorf("%d: %+v", i, c)
			}
		})
	}
	all.Wait()
	if k.Refused() == 0 {
		t.Error("none was refused")
	}
	if err := os.WriteFile(filepath.Join(root, "modprobe.go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "an answer for root", func() bool { // once one of those that wait has ended
		c := NewExplainer(k, nil).Explain(t.Context(), requested("net-pf-9", 0)).Cause
		return c != nil && c.Code == NothingProvides && strings.Contains(c.Text, "net-pf-9")
	})
}
