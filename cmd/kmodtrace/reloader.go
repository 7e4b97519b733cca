package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// copyInKernel says which copy of a module is in the kernel.
type copyInKernel string

const (
	newCopy     copyInKernel = "new"
	oldCopy     copyInKernel = "old"
	noCopy      copyInKernel = "none"
	unknownCopy copyInKernel = "unknown"
)

// reload is the record of one.
type reload struct {
	Target   string       `json:"target"` // the file, as given
	Module   string       `json:"module"`
	InKernel copyInKernel `json:"in_kernel"` // after it
	// Params are what the new copy is loaded with. Of the old copy's, Hidden could not be
	// read, and Gone are not known to the new one.
	Params kmod.Params `json:"params"`
	Hidden []string    `json:"hidden_params,omitempty"`
	Gone   []string    `json:"gone_params,omitempty"`
	// WayBack is where the old copy's content was found; empty where nowhere, or there was
	// no old copy.
	WayBack string `json:"way_back,omitempty"`
	// Check is why the new copy was not even tried.
	Check *cause.Verdict `json:"check,omitempty"`
	// Unload is of the old copy, Load of the new one, Restore of the old one again.
	Unload  *result `json:"unload,omitempty"`
	Load    *result `json:"load,omitempty"`
	Restore *result `json:"restore,omitempty"`

	replaced bool // there was an old copy
}

// notes are what the user should know beside the outcome.
func (r *reload) notes() (notes []string) {
	if r.replaced && r.WayBack == "" && r.Check == nil {
		notes = append(notes, "what the old copy was loaded from is not to be found, so there was no way back to it")
	}
	if len(r.Hidden) > 0 && r.replaced {
		notes = append(notes, "the kernel does not show the old copy's "+strings.Join(r.Hidden, ", ")+": the new one has what its file says")
	}
	if len(r.Gone) > 0 {
		notes = append(notes, "the new copy has no parameter "+strings.Join(r.Gone, ", "))
	}
	return notes
}

// failure gives the command's error: that of the part that did not go well. An old copy
// that is gone without being replaced is worse than a refusal.
func (r *reload) failure() error {
	if r.Check != nil {
		return &exitError{status: exitRefused, err: oneLineError{fmt.Errorf("%s is left as it is: %s", r.Module, r.Check.Cause)}, hint: "kmodtrace explain " + string(r.Check.Cause.Code) + " says more"}
	}
	for _, part := range []*result{r.Restore, r.Load, r.Unload} {
		if part == nil || part.failure() == nil {
			continue
		}
		err := part.failure()
		if r.replaced && (r.InKernel == noCopy || r.InKernel == unknownCopy) {
			return &exitError{status: exitUnconfirmed, err: err, hint: hintOf(err)}
		}
		return err
	}
	return nil
}

// reload replaces the module that a file has, or loads it where it is not loaded. The
// content is the file's, decompressed: the file itself may be written anew meanwhile. A
// fresh copy gets no parameters of the old one.
func (a *acting) reload(ctx context.Context, path string, content []byte, f *kmod.File, params kmod.Params, fresh bool) *reload {
	r := &reload{Target: path, Module: f.Name, InKernel: noCopy, Params: params}
	old := loadedModule(f.Name)
	var was kmod.Params
	var back []byte
	if old != nil {
		r.replaced, r.InKernel = true, oldCopy
		var before kmod.Params
		back, before, r.WayBack = contentOf(old, append([]string{path}, installed(ctx, f.Name)...)...)
		was = paramsOf(f.Name, back, before)
		if len(params) == 0 && !fresh {
			r.Params, r.Hidden, r.Gone = shownParams(f.Name, f, before)
		}
	}
	if r.Params == nil {
		r.Params = kmod.Params{}
	}
	v, err := cause.Check(ctx, path, a.kernel, &cause.CheckOptions{Params: r.Params, Replaces: true})
	if err == nil && v.Judgement == cause.Refused {
		r.Check = v
		return r
	}
	if old != nil {
		r.Unload = a.unload(ctx, f.Name)
		if r.Unload.Result != confirmed {
			r.InKernel = oldIfRefused(r.Unload)
			return r
		}
		r.InKernel = noCopy
	}
	a.loadNew(ctx, r, content)
	if r.InKernel == noCopy && back != nil {
		a.restore(ctx, r, back, was)
	}
	return r
}

// paramsOf gives those that a copy is to be put back with: all that the kernel shows of
// what its own content knows.
func paramsOf(module string, content []byte, before kmod.Params) kmod.Params {
	f, err := kmod.Parse(content)
	if err != nil {
		return nil // and no way back
	}
	params, _, _ := shownParams(module, f, before)
	return params
}

// oldIfRefused: an unload that was refused has changed nothing.
func oldIfRefused(r *result) copyInKernel {
	if r.Result == refused && !crashedIn(r) {
		return oldCopy
	}
	return unknownCopy
}

func crashedIn(r *result) bool {
	return len(r.Actions) > 0 && r.Actions[len(r.Actions)-1].Crashed
}

func loadedModule(name string) *kmod.Module {
	modules, err := kmod.List(nil)
	if err != nil {
		return nil
	}
	for i := range modules {
		if modules[i].Name == name {
			return &modules[i]
		}
	}
	return nil
}

func installed(ctx context.Context, name string) []string {
	paths, err := kmod.Find(ctx, name, nil)
	if err != nil {
		return nil
	}
	return paths
}

func (a *acting) unload(ctx context.Context, name string) *result {
	r := newResult("unload", name)
	r.add(name, a.witness.attempt(ctx, tracer.Unload, func() error { return kmod.Unload(ctx, name, nil) }))
	r.explain(context.WithoutCancel(ctx), a.kernel, a.inquiry)
	return r
}

func (a *acting) loadNew(ctx context.Context, r *reload, content []byte) {
	if ctx.Err() != nil {
		r.Load = newResult("load", r.Target)
		r.Load.set(refused, &kmod.Error{Op: "load", Module: r.Target, Err: errors.New("not begun: interrupted")})
		return
	}
	r.Load = a.load(ctx, r.Target, r.Target, r.Params)
	switch {
	case r.Load.Result == confirmed:
		r.InKernel = newCopy
		if err := keepCopy(r.Module, content, r.Params); err != nil {
			forget(r.Module)
		}
	case r.Load.Result == refused && !crashedIn(r.Load):
		r.InKernel = noCopy
	default:
		r.InKernel = unknownCopy
	}
}

// load loads the file at a path, as the one that target names.
func (a *acting) load(ctx context.Context, target, path string, params kmod.Params) *result {
	r := newResult("load", target)
	steps, err := kmod.Plan(ctx, path, &kmod.LoadOptions{Params: params})
	if err != nil {
		r.set(refused, err)
	} else {
		loadSteps(ctx, a.witness, r, steps)
	}
	r.explain(context.WithoutCancel(ctx), a.kernel, a.inquiry)
	return r
}

// restore puts the old copy back, also when somebody has stopped waiting: there is none in
// the kernel now.
func (a *acting) restore(ctx context.Context, r *reload, content []byte, params kmod.Params) {
	ctx = context.WithoutCancel(ctx)
	if err := keepCopy(r.Module, content, params); err != nil {
		r.Restore = newResult("load", keptPath(r.Module))
		r.Restore.set(refused, &kmod.Error{Op: "load", Module: r.Module, Err: fmt.Errorf("write down its old copy: %w", err)})
		return
	}
	r.Restore = a.load(ctx, keptPath(r.Module), keptPath(r.Module), params)
	switch {
	case r.Restore.Result == confirmed:
		r.InKernel = oldCopy
	case !r.Restore.Result.sure() || crashedIn(r.Restore):
		r.InKernel = unknownCopy
	}
}
