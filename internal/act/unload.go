package act

import (
	"context"
	"fmt"
	"io"

	"github.com/kmodtrace/kmodtrace/internal/cells"
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
}

// Register adds the flags.
func (o *UnloadOptions) Register(cmd *cobra.Command) {
	o.register(cmd)
	cmd.Flags().BoolVar(&o.Force, "force", false, "unload it even while it is in use; the kernel may crash")
	cmd.Flags().BoolVar(&o.Wait, "wait", false, "while it is in use, ask again (see --timeout)")
}

// Run unloads modules one after another, proves it, and prints what came of each.
func (o *UnloadOptions) Run(ctx context.Context, out io.Writer, names []string) error {
	if err := o.check(); err != nil {
		return err
	}
	jobs := make([]job, len(names))
	for i, name := range names {
		if _, err := moduleName(name); err != nil {
			return err
		}
		jobs[i] = job{kind: tracer.Unload, target: name, do: func(ctx context.Context, s *proof.Session) *proof.Result {
			r, _ := s.Unload(ctx, name, &o.UnloadOptions) // the result has the error
			return r
		}}
	}
	return o.act(ctx, out, jobs)
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
