package act

import (
	"context"
	"errors"
	"io"

	"github.com/kmodtrace/kmodtrace/calls"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/inside"
	"github.com/kmodtrace/kmodtrace/internal/picture"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/internal/tracing"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/reload"
	"github.com/kmodtrace/kmodtrace/timeline"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/spf13/cobra"
)

// LoadOptions are those of kmodtrace load.
type LoadOptions struct {
	Options
	Picture               picture.Options
	Inside                inside.Options
	vermagic, modversions bool
	ignoreInstall         bool
}

// Register adds the flags.
func (o *LoadOptions) Register(cmd *cobra.Command) {
	o.register(cmd)
	o.Picture.Register(cmd)
	o.Inside.Register(cmd, calls.Init)
	cmd.Flags().BoolVar(&o.ignoreInstall, "ignore-install", false, "load a NAME although modprobe's configuration has an install command for it, which is not run")
	cmd.Flags().BoolVar(&o.vermagic, "force-vermagic", false, "ignore which kernel it was built for; the kernel may crash")
	cmd.Flags().BoolVar(&o.modversions, "force-modversions", false, "ignore the versions of the symbols that it needs; the kernel may crash")
}

// Run loads what target names, proves it, and prints what came of it.
func (o *LoadOptions) Run(ctx context.Context, out io.Writer, target string, params kmod.Params) error {
	if err := o.check(); err != nil {
		return err
	}
	if err := o.Picture.Check(o.json); err != nil {
		return err
	}
	if err := o.Inside.Check(); err != nil {
		return err
	}
	files, err := o.Picture.Open()
	if err != nil {
		return err
	}
	defer files.Abandon()
	steps, err := kmod.Plan(ctx, target, &kmod.LoadOptions{Params: params, Force: o.force(), IgnoreInstall: o.ignoreInstall})
	if err != nil {
		return o.notPlanned(ctx, out, target, err)
	}
	plan, err := o.Inside.PlanLoad(steps)
	if err != nil {
		return err
	}
	show := func(out io.Writer, k *kernel.Kernel, r *proof.Result) error { return o.show(out, k, r, steps, files) }
	return o.attached(ctx, func(ctx context.Context, s *proof.Session) (err error) {
		probes, err := inside.Set(plan)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, probes.Close()) }()
		load := func(ctx context.Context, s *proof.Session) *proof.Result {
			r, err := s.LoadSteps(ctx, target, steps)
			if err == nil && kmod.IsFile(target) {
				keepLoaded(&steps[0])
			}
			probes.Report(ctx, r)
			return r
		}
		return o.actAll(ctx, out, s, []job{{tracer.Load, target, load, show}})
	})
}

// show prints the result, and draws it where that is asked for. What the events do not
// say is found out now, while the module is there.
func (o *LoadOptions) show(out io.Writer, k *kernel.Kernel, r *proof.Result, steps []kmod.Step, files *picture.Files) error {
	p := timeline.New(r.Actions)
	if p == nil || !o.Picture.Wanted() {
		return errors.Join(o.printLoad(out, r), o.Picture.Missing(p, r))
	}
	k.Refresh()
	p.Main.Facts = timeline.Gather(k, &p.Main.Action, FileOf(&p.Main.Action, steps))
	var err error
	switch {
	case o.Picture.Alone():
	case o.Picture.Timeline:
		t := render.NewResultText(term.ThemeOf(out), term.Columns(out))
		_, err = io.WriteString(out, picture.Text(out, p)+t.Text([]cells.Line{render.VerdictLine(r)}))
	default:
		err = o.printLoad(out, r)
	}
	return errors.Join(term.OutputError(err), o.Picture.Draw(out, p, files))
}

// printLoad prints the result, with what was called inside.
func (o *LoadOptions) printLoad(out io.Writer, r *proof.Result) error {
	return render.PrintResult(out, o.json, r, func(t *render.ResultText) string { return t.WithCalls(r, o.Inside.CallsView) })
}

// FileOf names the file of a load by this program: the kernel sees none where it was
// decompressed here.
func FileOf(a *tracer.Action, steps []kmod.Step) string {
	for i := range steps {
		if steps[i].Module == a.Module && steps[i].Path != "" {
			return steps[i].Path
		}
	}
	if a.File != nil {
		return a.File.Path
	}
	return ""
}

func (o *LoadOptions) force() kmod.Force {
	var force kmod.Force
	if o.vermagic {
		force |= kmod.ForceVermagic
	}
	if o.modversions {
		force |= kmod.ForceModversions
	}
	return force
}

// keepLoaded keeps the file of a step that was taken, for a later reload. That it cannot
// be kept matters only then, and is said then.
func keepLoaded(step *kmod.Step) {
	if s, err := reload.OpenStore(reload.DefaultStore); err == nil {
		defer s.Close()
		_ = s.Keep(step.Module, step.Path, step.Params)
	}
}

// notPlanned is for what cannot even be tried: nothing is attached for it.
func (o *LoadOptions) notPlanned(ctx context.Context, out io.Writer, target string, why error) error {
	refusal := TargetError(why)
	k, err := tracing.Kernel(ctx)
	if usage := (*cli.UsageError)(nil); err != nil || errors.As(refusal, &usage) {
		return refusal
	}
	r := proof.NewResult(tracer.Load, target, proof.Refused, why)
	r.ExplainRefusal(ctx, k)
	if err := o.print(out, r); err != nil {
		return err
	}
	return ResultError(r)
}
