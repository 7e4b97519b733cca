package act

import (
	"context"
	"fmt"
	"io"

	"github.com/kmodtrace/kmodtrace/calls"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/inside"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/spf13/cobra"
)

// LoadedNames serves completion: where there is no list there is nothing to offer.
func LoadedNames() []string {
	modules, _ := kmod.List(nil)
	names := make([]string, len(modules))
	for i, m := range modules {
		names[i] = m.Name
	}
	return names
}

// UnloadOptions are those of kmodtrace unload.
type UnloadOptions struct {
	Options
	kmod.UnloadOptions
	Inside inside.Options
}

// Register adds the flags.
func (o *UnloadOptions) Register(cmd *cobra.Command) {
	o.register(cmd)
	o.Inside.Register(cmd, calls.Exit)
	cmd.Flags().BoolVar(&o.Force, "force", false, "unload it even while it is in use; the kernel may crash")
	cmd.Flags().BoolVar(&o.Wait, "wait", false, "while it is in use, ask again (see --timeout)")
}

// Run unloads modules one after another, proves it, and prints what came of each.
func (o *UnloadOptions) Run(ctx context.Context, out io.Writer, names []string) error {
	if err := o.check(); err != nil {
		return err
	}
	if err := o.Inside.Check(); err != nil {
		return err
	}
	jobs := make([]job, len(names))
	for i, name := range names {
		module, err := moduleName(name)
		if err != nil {
			return err
		}
		plan, err := o.Inside.PlanUnload(ctx, module)
		if err != nil {
			return err
		}
		jobs[i] = job{kind: tracer.Unload, target: name, do: o.unload(name, plan), show: o.showUnload}
	}
	return o.act(ctx, out, jobs)
}

// unload looks inside the exit where there is a plan. Where the kernel takes no probes, nothing is unloaded.
func (o *UnloadOptions) unload(name string, plan *calls.Plan) func(context.Context, *proof.Session) *proof.Result {
	return func(ctx context.Context, s *proof.Session) *proof.Result {
		probes, err := inside.Set(plan)
		if err != nil {
			return proof.NewResult(tracer.Unload, name, proof.Unconfirmed, err)
		}
		r, _ := s.Unload(ctx, name, &o.UnloadOptions) // the result has the error
		probes.Report(ctx, r)
		return r
	}
}

func (o *UnloadOptions) showUnload(out io.Writer, _ *kernel.Kernel, r *proof.Result) error {
	return render.PrintResult(out, o.json, r, func(t *render.ResultText) string { return t.WithCalls(r, o.Inside.CallsView) })
}

// moduleName checks a name before anything is attached.
func moduleName(name string) (string, error) {
	module, err := kmod.NormalName(name)
	if err != nil {
		return "", TargetError(&kmod.Error{Op: "unload", Module: name, Err: err})
	}
	if kmod.IsFile(name) {
		return "", TargetError(&kmod.Error{Op: "unload", Module: name, Err: fmt.Errorf("%w: it is a file's; the kernel knows it as %s", kmod.ErrBadName, cells.Short(kmod.NameOfFile(name)))})
	}
	return module, nil
}
