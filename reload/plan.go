package reload

import (
	"context"
	"errors"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
)

// Plan is what a reload is to do, once it is known that it may.
type Plan struct {
	// Result has what is known of the reload so far: all of it, where it is refused.
	Result *Result

	file   *kmod.File // nil where it is refused
	params *Params
	old    *OldCopy // nil where nothing is loaded
	back   *Params  // the parameters to put it back with
}

// NoWayBack says why the old copy could not be put back; empty where it could, or where
// nothing is loaded.
func (p *Plan) NoWayBack() string {
	if p.old == nil || p.old.Content != "" {
		return ""
	}
	return p.old.Why
}

// Plan finds out all that can be known beforehand, and touches nothing in the kernel. The
// parameters are for the new copy; without any it gets those of the old one. The error says
// why the reload is refused.
func (r *Reloader) Plan(ctx context.Context, file string, params kmod.Params) (*Plan, error) {
	res := newResult(file)
	plan, err := r.plan(ctx, res, params)
	if err != nil {
		res.set(proof.Refused, &kmod.Error{Op: "reload", Module: file, Err: bareCause(err)})
	}
	if plan == nil {
		res.conclude(nil)
		return &Plan{Result: res}, res.Err()
	}
	return plan, nil
}

// bareCause takes off the operation and the file, which the caller names itself.
func bareCause(err error) error {
	if e, ok := err.(*kmod.Error); ok {
		return e.Err
	}
	return err
}

func (r *Reloader) plan(ctx context.Context, res *Result, given kmod.Params) (*Plan, error) {
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
	plan := &Plan{Result: res, file: f}
	if plan.old, err = r.findOld(ctx, f); err != nil {
		return nil, err
	}
	plan.params = r.paramsFor(plan, given)
	res.Params = plan.params
	res.Before = plan.old
	if !r.options.Unchecked && !r.fits(ctx, res, plan) {
		return nil, nil
	}
	return plan, nil
}

// paramsFor decides on the parameters of the new copy, and of the old one's return.
func (r *Reloader) paramsFor(plan *Plan, given kmod.Params) *Params {
	none := &Params{Params: kmod.Params{}, Left: []LeftParam{}}
	if plan.old != nil && plan.old.file != nil {
		plan.back = plan.old.settings.takeOver(plan.old.file)
	}
	switch {
	case len(given) > 0:
		none.From, none.Params = ParamsGiven, given
		return none
	case plan.old == nil || r.options.Fresh:
		return none
	}
	return plan.old.settings.takeOver(plan.file)
}

// fits tells whether this kernel would take the file, as far as can be known. What the
// old copy had for a parameter and the new one does not take is left out.
func (r *Reloader) fits(ctx context.Context, res *Result, plan *Plan) bool {
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
