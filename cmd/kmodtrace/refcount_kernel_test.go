package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/internal/dev"
	"github.com/kmodtrace/kmodtrace/internal/trial"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/reload"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// TestRefcount: no command has the kernel unload a module whose refcount is negative, after
// which the kernel would neither load nor unload any. After each refusal another one does
// both. The crash itself is in TestCauses, whose machine does not get over it.
func TestRefcount(t *testing.T) {
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("loads modules into the kernel: runs only in a machine of the lab (kmodtrace lab exec)")
	}
	shared := &sharedTracer{t: t}
	for _, test := range []struct {
		name string
		run  func(*refcountLab)
	}{
		{"unload", testRefcountUnload},
		{"shown", testRefcountShown},
		{"reload", testRefcountReload},
		{"dev", testRefcountDev},
		{"try", testRefcountTry},
		{"in between", testRefcountInBetween},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := &refcountLab{newReloadLab(t, shared)}
			t.Cleanup(l.repair)
			test.run(l)
			l.goesOn()
		})
	}
	if log, err := exec.Command("dmesg").Output(); err != nil || bytes.Contains(log, []byte("kernel BUG at")) {
		t.Errorf("dmesg: %v; a BUG in %s", err, log)
	}
}

type refcountLab struct{ *reloadLab }

const countParam = "/sys/module/overput/parameters/count"

// repair puts the refcount right, and unloads the module.
func (l *refcountLab) repair() {
	if _, err := os.Stat(countParam); err != nil {
		return
	}
	fixRefcount(l.T)
	if err := kmod.Unload(context.Background(), "overput", nil); err != nil {
		l.Errorf("fixed: %v", err)
	}
}

// goesOn: the kernel still loads and unloads another, confirmed by its events.
func (l *refcountLab) goesOn() {
	l.Helper()
	l.kmodtrace(exitOK, "load", labModule("hello"))
	l.kmodtrace(exitOK, "unload", "hello")
}

func testRefcountUnload(l *refcountLab) {
	l.insmod(labModule("overput"))
	for _, args := range [][]string{{}, {"--force"}, {"--wait", "--timeout", "1m"}} {
		out, errs := l.kmodtrace(exitRefused, append([]string{"unload", "--json", "overput"}, args...)...)
		var r proof.Result
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			l.Fatal(err)
		}
		if err := validateText("result", []byte(out)); err != nil {
			l.Error(err)
		}
		if r.Verdict != proof.Refused || r.Errno != 0 || len(r.Actions) != 0 || r.Cause == nil || r.Cause.Code != cause.RefcountNegative {
			l.Errorf("%q: %s", args, out)
		}
		if !strings.Contains(errs, "kmodtrace: unload overput: refcount-negative: the kernel counts -1 references to overput\n") || !strings.Contains(errs, "kmodtrace explain refcount-negative") {
			l.Errorf("%q: %s", args, errs)
		}
	}
	// Another is not kept from being tried.
	l.insmod(labModule("hello"))
	out, _ := l.kmodtrace(exitRefused, "unload", "overput", "hello")
	if !strings.Contains(out, "refcount-negative: the kernel counts -1 references to overput") || !strings.Contains(out, "unload hello: confirmed") {
		l.Error(out)
	}
}

func testRefcountShown(l *refcountLab) {
	l.insmod(labModule("overput"))
	for _, c := range []struct{ args, says string }{
		{"list overput", "-1  live, refcount negative"},
		{"list --json overput", `"refcount_negative": true`},
		{"info " + labModule("overput"), "loaded_refs:    -1: refcount negative"},
		{"info --json " + labModule("overput"), `"refcount_negative": true`},
		{"doctor", "overput (-1): an unload would be a BUG"},
	} {
		if out, _ := l.kmodtrace(exitOK, strings.Fields(c.args)...); !strings.Contains(out, c.says) {
			l.Errorf("%s does not say %q:\n%s", c.args, c.says, out)
		}
	}
}

func testRefcountReload(l *refcountLab) {
	file := l.build("overput", 1)
	l.insmod(file)
	for _, args := range [][]string{{}, {"--wait"}, {"--unchecked"}} {
		r, errs := l.reload(exitRefused, append([]string{l.build("overput", 2)}, args...)...)
		l.is(r, "refused", "untouched")
		if r.Cause.Code != string(cause.RefcountNegative) || r.ErrnoName != "" || r.Load != nil || !strings.Contains(errs, "refcount-negative: the kernel counts -1 references to overput; nothing was touched") {
			l.Errorf("%q: %+v: %s", args, r, errs)
		}
	}
	l.shows("overput", 1)
}

func testRefcountDev(l *refcountLab) {
	tr, err := l.shared.lend(tracer.Auto)
	if err != nil {
		l.Fatal(err)
	}
	session, err := proof.Open(&proof.Options{Tracer: tr})
	if err != nil {
		l.Fatal(err)
	}
	defer session.Close()
	reloader, err := reload.Open(&reload.Options{Fresh: true, Store: l.TempDir()})
	if err != nil {
		l.Fatal(err)
	}
	defer reloader.Close()
	var screen bytes.Buffer
	d := dev.NewLoop(&dev.Options{Params: kmod.Params{"count=0"}}, session, reloader, &screen)
	d.Name = "overput"
	if err := d.Replace(l.Context(), l.build("overput", 1), []byte("1")); err != nil || !d.Copy.Ours {
		l.Fatalf("%v: %s", err, screen.String())
	}
	if err := os.WriteFile(countParam, []byte("-1"), 0); err != nil {
		l.Fatal(err)
	}
	// A save goes on with what is there, and the end leaves it.
	if err := d.Replace(l.Context(), l.build("overput", 2), []byte("2")); err != nil || !d.Copy.Ours || string(d.Copy.Image) != "1" || !strings.Contains(screen.String(), "refcount-negative: ") {
		l.Errorf("%v, ours %t: %s", err, d.Copy.Ours, screen.String())
	}
	l.shows("overput", 1)
	if err := d.End(l.Context()); err == nil || statusOf(err) != exitRefused || !strings.Contains(err.Error(), "refcount-negative: the kernel counts -1 references to overput") {
		l.Errorf("the end: %v", err)
	}
	l.shows("overput", 1)
}

// testRefcountTry takes the part of try that runs in its machine, which this is one of.
func testRefcountTry(l *refcountLab) {
	plan, err := json.Marshal(trial.Plan{Files: []string{labModule("overput")}, Times: 2, Patience: 1e12})
	if err != nil {
		l.Fatal(err)
	}
	// A process of its own: it keeps its tracer, because its machine is thrown away.
	out, err := exec.Command("kmodtrace", trial.GuestCommand, string(plan)).Output()
	if err != nil {
		l.Fatal(err)
	}
	var unloads []*proof.Result
	for text := range strings.Lines(string(out)) {
		e, err := trial.ParseEvent([]byte(text))
		if err != nil {
			l.Fatalf("%v: %s", err, text)
		}
		if e.Step == trial.StepUnload && !e.Begins {
			unloads = append(unloads, e.Result)
		}
	}
	if len(unloads) != 1 || unloads[0].Verdict != proof.Refused || unloads[0].Cause == nil || unloads[0].Cause.Code != cause.RefcountNegative {
		l.Errorf("%d unloads:\n%s", len(unloads), out)
	}
}

// testRefcountInBetween: an unload waits, and is not asked for again once the count is below
// zero.
func testRefcountInBetween(l *refcountLab) {
	l.insmod(labModule("overput"), "count=1")
	refusals := 0
	ctx := waiting{l.Context(), func() {
		if refusals++; refusals != 3 {
			return
		}
		if err := os.WriteFile(countParam, []byte("-1"), 0); err != nil {
			l.Error(err)
		}
	}}
	err := kmod.Unload(ctx, "overput", &kmod.UnloadOptions{Wait: true})
	if !errors.Is(err, kmod.ErrNegativeRefcount) || refusals != 3 {
		l.Errorf("%v after %d refusals", err, refusals)
	}
}

// waiting is a context that tells each time that somebody waits beside it.
type waiting struct {
	context.Context
	tell func()
}

func (w waiting) Done() <-chan struct{} {
	w.tell()
	return w.Context.Done()
}
