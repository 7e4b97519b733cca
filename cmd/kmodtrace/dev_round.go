package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

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
func (d *dev) round(ctx context.Context) error {
	d.out.later("build " + d.dir)
	built, err := kbuild.Build(ctx, []string{d.dir}, &kbuild.Options{Output: d.out.compiler()})
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		failure := buildError(err)
		if s := statusOf(failure); d.name == "" && (s == exitNoTrace || s == exitUsage) {
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
	if d.ours && bytes.Equal(image, d.image) {
		return nil // what was saved changes nothing
	}
	d.out.line(cells.Good, fmt.Sprintf("%s built in %.1f s", m.Name, built.Took.Seconds()))
	d.name = m.Name
	if d.try && !d.passes(ctx, m.Path) {
		return d.tell()
	}
	return d.replace(ctx, m.Path, image)
}

// pick is the module that is meant.
func (d *dev) pick(modules []kbuild.Module) (*kbuild.Module, error) {
	names := make([]string, len(modules))
	for i := range modules {
		names[i] = modules[i].Name
	}
	i := slices.Index(names, d.module)
	switch {
	case d.module == "" && len(modules) == 1:
		i = 0
	case d.module == "":
		return nil, cli.Usagef("%s makes %s: --module names one of them", d.dir, strings.Join(names, ", "))
	case i < 0:
		return nil, cli.Usagef("%s makes no module %s, but %s", d.dir, d.module, strings.Join(names, ", "))
	}
	return &modules[i], nil
}

// passes tries the new copy in a machine that can be thrown away.
func (d *dev) passes(ctx context.Context, path string) bool {
	o := &tryOptions{plan: trial.Plan{Files: []string{path}, Params: d.params, Times: 1, Patience: 30 * time.Second}}
	m, err := o.machine(ctx, d.out.messages())
	var r *trial.Report
	if err == nil {
		r, err = trial.Run(ctx, m, o.plan)
	}
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

// replace brings the new copy into the kernel.
func (d *dev) replace(ctx context.Context, path string, image []byte) error {
	plan, err := d.reloader.Plan(ctx, path, d.params)
	r := plan.Result
	if err == nil {
		r = carryOut(ctx, d.reloader, d.session, plan)
	}
	d.out.text(d.out.result().Reload(r))
	if r.Reason != "" {
		d.out.line(cells.Bad, r.Reason)
	}
	switch r.After.Copy {
	case reload.CopyNew:
		d.there, d.ours, d.since, d.image = true, true, time.Now(), image
	case reload.CopyBack, reload.CopyUntouched: // the last good one, or what was there when this began
		d.there = r.Before != nil
		d.ours = d.ours && d.there
	case reload.CopyNone:
		d.there, d.ours = false, false
	case reload.CopyOther:
		d.there, d.ours = true, false
	case reload.CopyUnfinished:
		return errors.Join(d.out.err, reloadFailure(r))
	}
	return d.tell()
}

// tell ends a round by what is in the kernel now.
func (d *dev) tell() error {
	switch {
	case d.ours:
		d.out.line(cells.Strong, fmt.Sprintf("in the kernel: %s, loaded at %s", d.name, d.since.Format(time.TimeOnly)))
	case d.there:
		d.out.line(cells.Strong, fmt.Sprintf("in the kernel: %s, not loaded here", d.name))
	default:
		d.out.line(cells.Strong, "in the kernel: no copy")
	}
	d.out.line(cells.Dim, "waiting for a save; Ctrl-C unloads and ends")
	return d.out.err
}
