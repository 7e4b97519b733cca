package main

import (
	"context"
	"errors"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
)

// replacement is what a reload is to do, once it is known that it may.
type replacement struct {
	file   *kmod.File
	params *takenParams
	old    *oldCopy     // nil where nothing is loaded
	back   *takenParams // the parameters to put it back with
}

// prepare finds out all that can be known beforehand, and touches nothing. It gives
// nothing to do when the reload is refused for that.
func (r *reloader) prepare(ctx context.Context, file string, given kmod.Params) (*reloadResult, *replacement) {
	res := newReloadResult(file)
	plan, err := r.plan(ctx, res, given)
	if err != nil {
		res.set(proof.Refused, &kmod.Error{Op: "reload", Module: file, Err: bareCause(err)})
	}
	if plan == nil {
		res.conclude(nil)
	}
	return res, plan
}

func (r *reloader) plan(ctx context.Context, res *reloadResult, given kmod.Params) (*replacement, error) {
	f, err := kmod.Inspect(res.Target)
	if err != nil {
		res.Check, _ = cause.Check(ctx, res.Target, r.kernel, &cause.CheckOptions{Params: given, Replacing: true})
		res.setCause(res.Check)
		return nil, err
	}
	if f.Name, err = kmod.NormalName(f.Name); err != nil {
		return nil, err
	}
	res.Module = f.Name
	plan := &replacement{file: f}
	if plan.old, err = r.findOld(ctx, f); err != nil {
		return nil, err
	}
	plan.params = r.paramsFor(plan, given)
	res.Params = plan.params
	res.Before = plan.old
	if !r.unchecked && !r.fits(ctx, res, plan) {
		return nil, nil
	}
	return plan, nil
}

// paramsFor decides on the parameters of the new copy, and of the old one's return.
func (r *reloader) paramsFor(plan *replacement, given kmod.Params) *takenParams {
	none := &takenParams{Params: kmod.Params{}, Left: []leftParam{}}
	if plan.old != nil && plan.old.file != nil {
		plan.back = plan.old.settings.takeOver(plan.old.file)
	}
	switch {
	case len(given) > 0:
		none.From, none.Params = paramsGiven, given
		return none
	case plan.old == nil || r.fresh:
		return none
	}
	return plan.old.settings.takeOver(plan.file)
}

// fits tells whether this kernel would take the file, as far as can be known. What the
// old copy had for a parameter and the new one does not take is left out.
func (r *reloader) fits(ctx context.Context, res *reloadResult, plan *replacement) bool {
	for {
		v, err := cause.Check(ctx, res.Target, r.kernel, &cause.CheckOptions{Params: plan.params.Params, Replacing: true})
		switch {
		case err != nil:
			res.set(proof.Unconfirmed, &kmod.Error{Op: "reload", Module: res.Target, Err: proof.ErrInterrupted})
			return false
		case v.Judgement != cause.Refused:
			return true
		case v.Cause.Code == cause.ParameterInvalid && plan.params.drop(v.Cause.Names["parameter"], "the new copy does not take its value"):
			continue
		}
		res.Check = v
		res.setCause(v)
		res.set(proof.Refused, &kmod.Error{Op: "reload", Module: res.Target, Err: errors.New(v.Cause.String())})
		return false
	}
}
