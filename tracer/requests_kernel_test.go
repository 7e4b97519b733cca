package tracer_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/tracer"
)

func testRequests(t *testing.T, w *watch) {
	got := w.during(t, func() {
		sh(t, "ip", "link", "add", "kmodtrace0", "type", "dummy")
		sh(t, "ip", "link", "del", "kmodtrace0")
		sh(t, "/sbin/rmmod", "dummy")
	})
	var load, request *tracer.Action
	for i, a := range got {
		switch {
		case a.Kind == tracer.Load && a.Module == "dummy":
			load = &got[i]
		case a.Kind == tracer.Autoload && a.Module == "rtnl-link-dummy":
			request = &got[i]
		}
	}
	if load == nil || request == nil {
		t.Fatalf("no load or no request in %v", got)
	}
	if load.Outcome != tracer.Live || load.Thread.Comm != "modprobe" {
		t.Errorf("load: %s by %+v", brief(*load), load.Thread)
	}
	if request.Outcome != tracer.Answered || !request.Request.Wait || request.Thread.Comm != "ip" {
		t.Errorf("request: %s by %+v: %+v", brief(*request), request.Thread, request.Request)
	}
	if load.Start < request.Start || load.End > request.End {
		t.Errorf("the load is not inside the request: %s to %s, %s to %s", load.Start, load.End, request.Start, request.End)
	}
	got = w.during(t, func() {
		// No such protocol family module anywhere: the helper answers 1.
		_ = exec.Command("ip", "link", "add", "kmodtrace0", "type", "nosuchthing").Run()
	})
	if len(got) == 0 {
		t.Fatal("no request for nosuchthing")
	}
	for _, a := range got {
		if a.Kind != tracer.Autoload || a.Outcome != tracer.Failed || a.HelperStatus == nil || *a.HelperStatus != 1<<8 {
			t.Errorf("%s: %+v, helper %v", brief(a), a.Request, a.HelperStatus)
		}
	}
}

// testOtherHelper: a request says which program the kernel started for it, where that is not modprobe. A long path is whole.
func testOtherHelper(t *testing.T, w *watch) {
	const setting = "/proc/sys/kernel/modprobe"
	before, err := os.ReadFile(setting)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.WriteFile(setting, before, 0) })
	long := "/" + strings.Repeat("d/", 120) + "helper"
	if err := os.MkdirAll(filepath.Dir(long), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll("/d") })
	for _, helper := range []string{"/sbin/modprobe2", "/root/helper", long, strings.TrimSpace(string(before))} {
		if helper != strings.TrimSpace(string(before)) {
			if err := os.WriteFile(helper, []byte("#!/bin/sh\nexit 3\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(setting, []byte(helper), 0); err != nil {
			t.Fatal(err)
		}
		got := w.during(t, func() { _ = exec.Command("ip", "link", "add", "kmodtrace0", "type", "nosuchthing").Run() })
		want := helper
		if helper == "/sbin/modprobe" {
			want = ""
		}
		if len(got) == 0 {
			t.Errorf("%s: no request", helper)
		}
		for _, a := range got {
			if a.Kind != tracer.Autoload || a.Request.Helper != want || a.Outcome != tracer.Failed {
				t.Errorf("%s: %s: %+v", helper, brief(a), a.Request)
			}
		}
	}
}

func testNested(t *testing.T, w *watch) {
	got := w.during(t, func() {
		sh(t, "/sbin/insmod", specimen("nested"))
		sh(t, "/sbin/rmmod", "nested")
		sh(t, "/sbin/rmmod", "dummy")
	})
	expect(t, got, "load dummy live", "request dummy answered", "load nested live",
		"unload nested unloaded", "unload dummy unloaded")
}

// testRequestStorm: threads that ask for modules at once, and on kernels that preempt
// themselves preempt each other inside the hooks, are all told, each as who it is.
func testRequestStorm(t *testing.T, w *watch) {
	// With no helper to start, a request is over soon.
	const helper = "/proc/sys/kernel/modprobe"
	before, err := os.ReadFile(helper)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(helper, []byte("/nosuch"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.WriteFile(helper, before, 0) })

	const threads = 8
	each := 50 * storm(t)
	got := w.during(t, func() {
		var wg sync.WaitGroup
		for range threads {
			wg.Go(func() {
				runtime.LockOSThread()
				for range each {
					if fd, err := unix.Socket(unix.AF_ROSE, unix.SOCK_SEQPACKET, 0); err == nil {
						t.Error("there is such a family")
						unix.Close(fd)
					}
				}
			})
		}
		wg.Wait()
	})
	told := 0
	for _, a := range got {
		if a.Module != "net-pf-11" {
			continue
		}
		told++
		if a.Kind != tracer.Autoload || !slices.Contains(a.Seen, tracer.KindRequest) || a.Request.Site == 0 ||
			a.Actor == nil || a.Actor.PID != uint32(os.Getpid()) || a.Outcome != tracer.Failed {
			t.Errorf("%s: seen %v, request %+v, by %+v", brief(a), a.Seen, a.Request, a.Actor)
		}
	}
	loss, err := w.Loss()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d requests, loss %+v", told, loss)
	if told != threads*each {
		t.Errorf("%d requests, want %d", told, threads*each)
	}
	if loss.Any() && !mayMiss(w.backend()) {
		t.Errorf("loss %+v", loss)
	}
}
