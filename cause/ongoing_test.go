package cause

import (
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/koimage"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// ongoing lists actions that have not ended, with their causes.
func ongoing() map[string]explained {
	since := func(o tracer.Ongoing) *tracer.Ongoing { o.After = 7 * time.Second; return &o }
	nap := tracer.Awaited{Kind: tracer.Load, Module: "nap", Stage: tracer.StageInit, Thread: tracer.Thread{PID: 9, Comm: "modprobe"}}
	asks := tracer.Awaited{Kind: tracer.Autoload, Module: "nap", WaitsFor: &nap}
	leaving := tracer.Awaited{Kind: tracer.Unload, Module: "hello", Thread: tracer.Thread{PID: 9, Comm: "rmmod"}}
	asleep := []string{"msleep+0x2d/0x40", "hello_init+0x1c/0x1000 [hello]", "do_one_initcall+0x58/0x310"}
	load := func(stage tracer.Stage, o tracer.Ongoing) tracer.Action {
		return tracer.Action{Stage: stage, Ongoing: since(o), Preliminary: true}
	}
	looked := func(state tracer.State) func(*tracer.Action) {
		return func(a *tracer.Action) { a.Lookup = &tracer.Lookup{Name: "hello", Found: true, State: state} }
	}
	needs := func() []byte {
		return changed(func(m *koimage.Module) { m.Info = append(m.Info, "depends=nap,other") }).Bytes()
	}
	request := func(o tracer.Ongoing) tracer.Action {
		return tracer.Action{Kind: tracer.Autoload, Ongoing: since(o), Preliminary: true}
	}
	unload := func(o tracer.Ongoing, change func(*tracer.Action)) tracer.Action {
		refs := int32(0)
		a := tracer.Action{Kind: tracer.Unload, Ongoing: since(o), Preliminary: true}
		a.Lookup = &tracer.Lookup{Name: "hello", Found: true, HasInit: true, HasExit: true, Refs: &refs}
		if change != nil {
			change(&a)
		}
		return a
	}
	returned := func(a *tracer.Action) { a.InitResult = result(0) }
	const init, resolve, verify = tracer.StageInit, tracer.StageResolve, tracer.StageVerify
	return map[string]explained{
		"init, asleep":             {Action: load(init, tracer.Ongoing{Stack: asleep}), code: InitRunning, says: "the init of hello has not returned for 7.0 s: it sleeps in msleep, called by hello_init [hello]"},
		"init, nothing known":      {Action: load(init, tracer.Ongoing{}), code: InitRunning, says: "the init of hello has not returned for 7.0 s"},
		"init, its own function":   {Action: load(init, tracer.Ongoing{Stack: asleep[1:]}), code: InitRunning, says: "it sleeps in hello_init [hello]"},
		"init, a request":          {Action: load(init, tracer.Ongoing{Stack: asleep, WaitsFor: &asks}), code: WaitsForRequest, says: "waits for the request for nap, which waits for the load of nap by modprobe[9] (stage init)"},
		"init returned":            {Action: also(load(init, tracer.Ongoing{}), returned), code: UnderWay, says: "the init of hello returned"},
		"init returned, async":     {Action: also(load(init, tracer.Ongoing{Stack: []string{"async_synchronize_full+0x1/0x2"}}), returned), code: UnderWay, says: "began asynchronously"},
		"the same file":            {Action: load(before, tracer.Ongoing{WaitsFor: &nap}), code: WaitsForLoad, says: "another load of the same file, the load of nap by modprobe[9]"},
		"the same name":            {Action: also(load(verify, tracer.Ongoing{WaitsFor: &nap}), looked(tracer.StateComing)), code: WaitsForLoad, says: "hello has waited for 7.0 s for the load of nap"},
		"the same name, an unload": {Action: also(load(verify, tracer.Ongoing{WaitsFor: &leaving}), looked(tracer.StateGoing)), code: WaitsForLoad, says: "the unload of hello by rmmod[9]"},
		"the same name, unseen":    {Action: also(load(verify, tracer.Ongoing{}), looked(tracer.StateComing)), code: WaitsForLoad, says: "a module of that name, which is coming"},
		"a dependency":             {Action: load(resolve, tracer.Ongoing{Starting: []tracer.Awaited{leaving, nap}}), data: needs(), code: WaitsForDependency, says: "a module that it needs: the init of nap has not returned"},
		"others start":             {Action: load(resolve, tracer.Ongoing{Starting: []tracer.Awaited{leaving}}), data: needs(), code: UnderWay, says: "at stage resolve"},
		"a dependency, no file":    {Action: also(load(resolve, tracer.Ongoing{Starting: []tracer.Awaited{nap}, Stack: []string{"resolve_symbol+0x1/0x2"}}), func(a *tracer.Action) { a.File = &tracer.File{Path: "/x", Deleted: true, Size: 1} }), code: WaitsForDependency, says: "for a module that it needs"},
		"no file, nothing known":   {Action: also(load(resolve, tracer.Ongoing{Starting: []tracer.Awaited{nap}}), func(a *tracer.Action) { a.File = &tracer.File{Path: "/x", Deleted: true, Size: 1} }), code: UnderWay, says: "at stage resolve"},
		"it reads":                 {Action: load(tracer.StageRead, tracer.Ongoing{Stack: []string{"folio_wait_bit+0x1/0x2"}}), code: UnderWay, says: "at stage read: its thread sleeps in folio_wait_bit"},
		"before all":               {Action: load(before, tracer.Ongoing{}), code: UnderWay, says: "it has been under way for 7.0 s"},
		"helper, its load":         {Action: request(tracer.Ongoing{WaitsFor: &nap}), code: HelperRunning, says: "waits for the load of nap by modprobe[9]"},
		"helper, no load":          {Action: request(tracer.Ongoing{Stack: []string{"wait_for_completion_state+0x1/0x2", "call_usermodehelper_exec+0x1/0x2"}}), code: HelperRunning, says: "has not ended for 7.0 s"},
		"request, nothing known":   {Action: request(tracer.Ongoing{}), code: UnderWay, says: "under way for 7.0 s"},
		"exit":                     {Action: unload(tracer.Ongoing{Stack: []string{"msleep+0x1/0x2", "hello_exit+0x1/0x2 [hello]"}}, nil), code: ExitStuck, says: "has not come back for 7.0 s: it sleeps in msleep, called by hello_exit [hello]"},
		"freed":                    {Action: unload(tracer.Ongoing{}, func(a *tracer.Action) { a.Seen = []tracer.Kind{tracer.KindFree} }), code: UnderWay, says: "under way for 7.0 s"},
	}
}

// TestOngoing: what an action that has not ended waits for, and what is not claimed.
func TestOngoing(t *testing.T) {
	for name, e := range ongoing() {
		t.Run(name, func(t *testing.T) {
			e.pending = true
			x := NewExplainer(ordinary().with(e.machine).open(t), nil)
			got := x.Explain(t.Context(), e.complete(t))
			checkCause(t, got.Cause, e.code, e.says)
			if strings.Contains(got.Cause.Text, "(unknown)") {
				t.Errorf("it says %q", got.Cause.Text)
			}
		})
	}
}
