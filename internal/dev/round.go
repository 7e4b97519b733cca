package dev

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/act"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/lab"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/trial"
	"github.com/kmodtrace/kmodtrace/kbuild"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/reload"
)

// round builds what is saved now, and brings it into the kernel. An error ends it all.
func (d *Loop) round(ctx context.Context) error {
	d.out.later("build " + d.Dir)
	built, err := kbuild.Build(ctx, []string{d.Dir}, &kbuild.Options{Output: d.out.compiler()})
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		failure := render.BuildError(err)
		var missing *kbuild.MissingError
		if d.Name == "" && (errors.As(err, &missing) || errors.Is(err, kbuild.ErrBadTarget)) {
			return failure // it will not get better by saving
		}
		d.out.line(cells.Bad, "not built: "+failure.Error())
		if hint := cli.HintOf(failure); hint != "" {
			d.out.line(cells.Plain, "  "+hint)
		}
		return d.tell()
	}
	m, err := d.pick(built.Modules)
	if err != nil {
		return err
	}
	image, err := kmod.ReadImage(m.Path)
	if err != nil {
		d.out.line(cells.Bad, err.Error())
		return d.tell()
	}
	if d.Copy.Ours && bytes.Equal(image, d.Copy.Image) {
		return nil // what was saved changes nothing
	}
	d.out.line(cells.Good, fmt.Sprintf("%s built in %.1f s", m.Name, built.Took.Seconds()))
	d.Name = m.Name
	if d.Try && !d.Passes(ctx, m.Path) {
		return d.tell()
	}
	return d.Replace(ctx, m.Path, image)
}

// pick is the module that is meant.
func (d *Loop) pick(modules []kbuild.Module) (*kbuild.Module, error) {
	names := make([]string, len(modules))
	for i := range modules {
		names[i] = modules[i].Name
	}
	i := slices.Index(names, d.Module)
	switch {
	case d.Module == "" && len(modules) == 1:
		i = 0
	case d.Module == "":
		return nil, cli.Usagef("%s makes %s: --module names one of them", d.Dir, strings.Join(names, ", "))
	case i < 0:
		return nil, cli.Usagef("%s makes no module %s, but %s", d.Dir, d.Module, strings.Join(names, ", "))
	}
	return &modules[i], nil
}

// Passes tries the new copy in a machine that can be thrown away.
func (d *Loop) Passes(ctx context.Context, path string) bool {
	r, err := d.trial(ctx, path)
	if err != nil {
		var crash *lab.CrashError
		text := err.Error()
		if errors.As(err, &crash) {
			text = crash.Reason
		}
		d.out.line(cells.Bad, "it could not be tried: "+text)
		return false
	}
	if r.Verdict == trial.Passed {
		d.out.line(cells.Good, fmt.Sprintf("tried in a machine: passed, in %.1f s", r.Took.Seconds()))
		return true
	}
	d.out.text(render.NewTrialText(d.out.theme, d.out.width()).Render(r))
	d.out.line(cells.Bad, "it does not come into this kernel: "+r.Why)
	return false
}

func (d *Loop) trial(ctx context.Context, path string) (*trial.Report, error) {
	plan := trial.Plan{Files: []string{path}, Params: d.Params, Times: 1, Patience: 30 * time.Second}
	target, err := trial.BuiltFor(plan.Files)
	if err != nil {
		return nil, act.TargetError(err)
	}
	cache, err := lab.CacheDir()
	if err != nil {
		return nil, err
	}
	m, err := target.Machine(ctx, cache, d.out.messages())
	if err != nil {
		return nil, err
	}
	return trial.Run(ctx, m, plan)
}

// Replace brings the new copy into the kernel.
func (d *Loop) Replace(ctx context.Context, path string, image []byte) error {
	plan, err := d.reloader.Plan(ctx, path, d.Params)
	r := plan.Result
	if err == nil {
		r = act.CarryOut(ctx, d.reloader, d.session, plan)
	}
	d.out.text(d.out.result().Reload(r))
	if r.Reason != "" {
		d.out.line(cells.Bad, r.Reason)
	}
	switch r.After.Copy {
	case reload.CopyNew:
		d.Copy.There, d.Copy.Ours, d.Copy.Since, d.Copy.Image = true, true, time.Now(), image
	case reload.CopyBack, reload.CopyUntouched: // the last good one, or what was there when this began
		d.Copy.There = r.Before != nil
		d.Copy.Ours = d.Copy.Ours && d.Copy.There
	case reload.CopyNone:
		d.Copy.There, d.Copy.Ours = false, false
	case reload.CopyOther:
		d.Copy.There, d.Copy.Ours = true, false
	case reload.CopyUnfinished:
		return errors.Join(d.out.err, act.ReloadError(r))
	}
	return d.tell()
}

// tell ends a round by what is in the kernel now.
func (d *Loop) tell() error {
	switch {
	case d.Copy.Ours:
		d.out.line(cells.Strong, fmt.Sprintf("in the kernel: %s, loaded at %s", d.Name, d.Copy.Since.Format(time.TimeOnly)))
	case d.Copy.There:
		d.out.line(cells.Strong, fmt.Sprintf("in the kernel: %s, not loaded here", d.Name))
	default:
		d.out.line(cells.Strong, "in the kernel: no copy")
	}
	d.out.line(cells.Dim, "waiting for a save; Ctrl-C unloads and ends")
	return d.out.err
}
