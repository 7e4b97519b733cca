package tracer_test

import (
	"os/exec"
	"testing"

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

func testNested(t *testing.T, w *watch) {
	got := w.during(t, func() {
		sh(t, "/sbin/insmod", specimen("nested"))
		sh(t, "/sbin/rmmod", "nested")
		sh(t, "/sbin/rmmod", "dummy")
	})
	expect(t, got, "load dummy live", "request dummy answered", "load nested live",
		"unload nested unloaded", "unload dummy unloaded")
}
