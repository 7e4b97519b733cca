package output

import (
	"math"
	"reflect"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/jsonline"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// document is a JSON object in the making.
type document map[string]any

// put sets what a path of names with dots leads to.
func (d document) put(path string, v any) {
	for {
		name, rest, deeper := strings.Cut(path, ".")
		if !deeper {
			d[path] = v
			return
		}
		inner, ok := d[name].(document)
		if !ok {
			inner = document{}
			d[name] = inner
		}
		d, path = inner, rest
	}
}

// set does so unless there is nothing to say: zero, nil, or nothing in it.
func (d document) set(path string, v any) {
	r := reflect.ValueOf(v)
	switch {
	case !r.IsValid(), r.IsZero():
		return
	case (r.Kind() == reflect.Slice || r.Kind() == reflect.Map) && r.Len() == 0:
		return
	}
	d.put(path, v)
}

// rest is what there is no published field for, by the names of kmodtrace's own JSON.
func rest(e *Entry) document {
	d := document{}
	d.put("schema", jsonline.Version)
	d.set("kind", e.Kind)
	d.put("hash", e.Hash)
	if e.Finding != nil {
		d.put("finding", e.record())
	}
	a := e.Known
	if a == nil && e.Finding != nil {
		d.set("module", e.Finding.Module)
		return d
	}
	if a == nil {
		d.set("module", e.note().Module.Name)
		d.put("record", e.record())
		return d
	}
	d.set("action", a.Kind.String())
	d.set("module", a.Module)
	d.set("module_from", a.NameFrom.String())
	d.set("outcome", a.Outcome.String())
	d.set("cause", a.Cause)
	d.set("warnings", a.Warnings)
	d.set("crashed", a.Crashed)
	if a.Stage != 0 {
		d.put("stage", a.Stage.String())
	}
	d.set("took_ns", int64(a.Took))
	if a.Call != nil {
		d.put("call", a.Call)
	}
	d.set("request", a.Request)
	d.set("requesters", requesters(a))
	d.set("image", a.Image)
	d.set("denial", a.Denial)
	d.set("callbacks", a.Callbacks)
	d.set("lookup", a.Lookup)
	d.set("params", a.Params)
	d.set("details", a.Details)
	d.set("init_result", a.InitResult)
	d.set("helper_status", a.HelperStatus)
	d.set("messages", a.Messages)
	d.set("kernel_reports", a.Reports)
	d.set("origin", a.Origin)
	if a.Actor != nil {
		d.set("capabilities", a.Actor.Capabilities.String())
		if w := a.Actor.WorkingDirectory; w != nil {
			d.set("working_directory_cut", w.PathCut)
			d.set("working_directory_deleted", w.Deleted)
			d.set("working_directory_unreachable", w.Unreachable)
		}
	}
	if who := a.Responsible(); who != nil {
		d.set("unit", who.Cgroup.Unit)
		d.set("pod", who.Cgroup.PodUID)
	}
	if f := a.File; f != nil {
		d.set("memfd", f.Memfd)
		d.set("claimed", f.Claimed)
	}
	d.set("partial", a.Partial)
	d.set("lost", a.Lost)
	d.set("end_lost", a.EndLost)
	if a.Ongoing != nil {
		d.put("ongoing", a.Ongoing)
	}
	d.set("preliminary", a.Preliminary)
	return d
}

// requesters are those for whose sake it was done, each in short.
func requesters(a *record.Record) []document {
	var all []document
	for r := range a.Requesters() {
		d := document{}
		d.set("request", r.Request.Name)
		d.set("meaning", r.Request.Meaning)
		d.put("pid", r.Thread.PID)
		d.set("comm", r.Thread.Comm)
		if r.Actor != nil {
			d.set("user", record.User(&r.Actor.Process))
			d.set("exe", exePath(&r.Actor.Process))
			if c := r.Actor.Cgroup.Container; c != nil {
				d.set("container", c.ID)
			}
		}
		all = append(all, d)
	}
	return all
}

// long is a number as receivers can have it, with 63 bits.
func long(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

// workingDirectory is the path of the actor's, which begins with "…" where it is not whole.
func workingDirectory(a *record.Record) string {
	if a.Actor == nil || a.Actor.WorkingDirectory == nil {
		return ""
	}
	return a.Actor.WorkingDirectory.Path
}

func exePath(p *tracer.Process) string {
	if p.Exe == nil {
		return ""
	}
	return p.Exe.Path
}
