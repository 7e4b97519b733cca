package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/internal/roles"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// lasting is a thing that takes long, and what must be said of it before it has ended.
type lasting struct {
	kind    tracer.ActionKind
	module  string
	code    cause.Code
	says    []string
	outcome tracer.Outcome // the one that follows
}

// TestLasting: an action that takes long is reported before it ends, once, by watch, run and the service,
// with what it waits for; then its outcome follows. All of it goes on at the same time.
func TestLasting(t *testing.T) {
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("loads modules into the kernel: runs only in a machine of the lab (kmodtrace lab exec)")
	}
	if err := roles.Install("kmodtrace"); err != nil {
		t.Fatal(err)
	}
	const sleep = "ms=20000" // below the 30 s for which a load waits for a dependency
	w := newWorld(t, "plain")
	dir := t.TempDir()
	service := serve(t, dir, "")
	w.installVariant(t, "nap1.ko")
	defer setting(t, "/etc/modprobe.d/lasting.conf", "options nap1 "+sleep+"\n")()
	defer w.installed(t)()
	twin := filepath.Join(dir, "nap3.ko")
	w.write(t, twin, w.readSpecimen(t, "nap3.ko"))
	quiet(t, "/sbin/insmod", w.specimen("slowexit.ko"), sleep)

	var all []*exec.Cmd
	start := func(name string, args ...string) {
		cmd := exec.Command(name, args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, cmd)
	}
	var report bytes.Buffer
	follow := exec.Command(roles.Path("kmodtrace"), "run", "--pending-after", "2s", "--", "insmod", w.specimen("nap4.ko"), sleep)
	follow.Stderr = &report
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "/sys/module/nap4/initstate")
	start("/sbin/insmod", w.specimen("slowbase.ko"), sleep)
	start("/sbin/insmod", w.specimen("nap0.ko"), sleep)
	start("/sbin/insmod", w.specimen("nested.ko"), "want=nap1")
	start("/sbin/insmod", w.specimen("nap2.ko"), sleep)
	start("/sbin/insmod", w.specimen("nap3.ko"), sleep)
	start("/bin/busybox", "rmmod", "slowexit")
	for _, name := range []string{"slowbase", "nap2", "nap3"} {
		awaitText(t, "/sys/module/"+name+"/initstate", "coming")
	}
	start("/sbin/insmod", w.specimen("nap2.ko"), sleep)
	start("/sbin/insmod", twin, sleep)
	start("/sbin/insmod", w.specimen("slowuser0.ko"))

	awaitHistory := func(what string, kind journal.Kind, n int) {
		await.Until(t, what, func() bool { return len(lastingIn(t, service, kind, false)) >= n })
	}
	awaitHistory("what has not ended in the journal", journal.KindPending, 12)
	for _, cmd := range all {
		_ = cmd.Wait() // two of them fail
	}
	if err := follow.Wait(); err != nil {
		t.Errorf("%v: %s", err, report.String())
	}
	awaitHistory("the load under run in the journal", journal.KindAction, 13)
	w.checkLasting(t, []lasting{
		{tracer.Load, "nap0", cause.InitRunning, []string{"the init of nap0 has not returned for", "sleeps in msleep, called by nap_init [nap0]"}, tracer.Live},
		{tracer.Load, "nested", cause.WaitsForRequest, []string{"the init of nested", "waits for the request for nap1, which waits for the load of nap1 by modprobe["}, tracer.Live},
		{tracer.Autoload, "nap1", cause.HelperRunning, []string{"waits for the load of nap1 by modprobe[", "(stage init)"}, tracer.Answered},
		{tracer.Load, "nap1", cause.InitRunning, []string{"the init of nap1"}, tracer.Live},
		{tracer.Load, "nap2", cause.InitRunning, []string{"the init of nap2"}, tracer.Live},
		{tracer.Load, "nap2", cause.WaitsForLoad, []string{"nap2 has waited for", "the load of nap2 by insmod[", "(stage init)"}, tracer.Pending},
		{tracer.Load, "nap3", cause.InitRunning, []string{"the init of nap3"}, tracer.Live},
		{tracer.Load, "nap3", cause.WaitsForLoad, []string{"nap3 has waited for", "the load of nap3 by insmod[", "(stage init)"}, tracer.Failed},
		{tracer.Load, "nap4", cause.InitRunning, []string{"the init of nap4"}, tracer.Live},
		{tracer.Load, "slowbase", cause.InitRunning, []string{"the init of slowbase"}, tracer.Live},
		{tracer.Load, "slowuser0", cause.WaitsForDependency, []string{"slowuser0 has waited for", "the init of slowbase has not returned"}, tracer.Live},
		{tracer.Unload, "slowexit", cause.ExitStuck, []string{"the exit of slowexit has not come back for", "slowexit_exit [slowexit]"}, tracer.Unloaded},
	})
	// After the two seconds that were asked for, and not the five of the others.
	if !regexp.MustCompile(`the init of nap4 has not returned for [2-4]\.\d s`).MatchString(report.String()) {
		t.Errorf("run does not say after two seconds that nap4 is under way:\n%s", report.String())
	}
	for _, want := range []string{"pending", "live", "1 module loaded"} {
		if !strings.Contains(report.String(), want) {
			t.Errorf("run does not say %q:\n%s", want, report.String())
		}
	}
	if left := lastingIn(t, service, journal.KindPending, true); len(left) != 0 {
		t.Errorf("the journal shows what has ended as pending: %q", left)
	}
	if status := service.end(syscall.SIGTERM); status != 0 {
		t.Errorf("status %d: %s", status, service.said)
	}
	if records := service.records(); !has(records, "pending", "load nap0 live by root") {
		t.Errorf("the records are\n\t%s", strings.Join(records, "\n\t"))
	}
	unload(t, []string{"slowuser0", "slowbase", "nested", "nap0", "nap1", "nap2", "nap3", "nap4"})
}

// lastingIn gives the modules of a kind of records of a service: all, or those that history shows.
func lastingIn(t *testing.T, s *served, kind journal.Kind, final bool) (modules []string) {
	t.Helper()
	r, err := journal.OpenReadOnly(s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for rec, err := range r.Query(context.Background(), journal.Filter{Kinds: []journal.Kind{kind}, Final: final}) {
		if err != nil {
			t.Fatal(err)
		}
		modules = append(modules, rec.Module)
	}
	return modules
}

// checkLasting compares with what watch said: each action is reported once before its end, and once after it.
func (w *world) checkLasting(t *testing.T, want []lasting) {
	t.Helper()
	var before, after []record.Record
	for len(before) < len(want) || len(after) < len(want) {
		select {
		case e := <-w.watch.actions:
			switch {
			case e.Preliminary:
				before = append(before, e)
			case e.Took > 5*time.Second:
				after = append(after, e)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%d told before their ends, %d after: want %d", len(before), len(after), len(want))
		}
	}
	outcomes := make(map[tracer.ID]tracer.Outcome)
	for _, e := range after {
		outcomes[e.ID] = e.Outcome
	}
	for _, l := range want {
		found := false
		for _, e := range before {
			if e.Kind != l.kind || e.Module != l.module || e.Cause == nil || e.Cause.Code != l.code {
				continue
			}
			found = true
			t.Logf("%v %s: %s", e.Kind, e.Module, e.Cause)
			for _, text := range l.says {
				if !strings.Contains(e.Cause.Text, text) {
					t.Errorf("%v %s: %q does not say %q; %q", e.Kind, e.Module, e.Cause.Text, text, e.Cause.Evidence)
				}
			}
			outcome, ended := outcomes[e.ID]
			if e.Outcome != tracer.Pending || !ended || outcome == tracer.Pending || l.outcome != tracer.Pending && outcome != l.outcome {
				t.Errorf("%v %s: %v, then %v (%v); want %v", e.Kind, e.Module, e.Outcome, outcome, ended, l.outcome)
			}
		}
		if !found {
			t.Errorf("no %v of %s is reported before it ends as %s", l.kind, l.module, l.code)
		}
	}
	if len(before) != len(want) {
		t.Errorf("%d are told before their ends, want %d", len(before), len(want))
	}
	if t.Failed() {
		for _, e := range before {
			t.Logf("%v %s: %v, stage %v, %q, stack %q", e.Kind, e.Module, e.Cause, e.Stage, e.Cause.Evidence, e.Ongoing.Stack)
		}
	}
}
