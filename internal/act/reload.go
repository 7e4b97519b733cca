package act

import (
	"context"
	"errors"
	"io"

	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/tracing"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/reload"
	"github.com/kmodtrace/kmodtrace/service"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

// ReloadOptions are those of kmodtrace reload.
type ReloadOptions struct {
	Options
	reload  reload.Options
	journal string
}

// Register adds the flags.
func (o *ReloadOptions) Register(cmd *cobra.Command) {
	o.register(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&o.reload.Wait, "wait", false, "while the old copy is in use, ask again (see --timeout)")
	flags.BoolVar(&o.reload.Fresh, "fresh", false, "do not use the parameters of the old copy")
	flags.BoolVar(&o.reload.Unchecked, "unchecked", false, "unload the old copy even if this kernel would refuse the file")
	flags.StringVar(&o.journal, "journal", service.DefaultJournal, "look in the journal in this `FILE` for where the old copy was loaded from")
	flags.Lookup("json").Usage = "print a JSON object (docs/schema/reload.schema.json)"
}

// Run replaces the module by file, proves it, and prints what came of it.
func (o *ReloadOptions) Run(ctx context.Context, out io.Writer, file string, params kmod.Params) error {
	if err := o.check(); err != nil {
		return err
	}
	// What cannot even be tried is refused before anything is attached.
	if _, err := kmod.Plan(ctx, file, &kmod.LoadOptions{Params: params}); err != nil {
		return FileError("reload", file, err)
	}
	k, err := tracing.Kernel(ctx)
	if err != nil {
		return err
	}
	ctx = tracing.LendKernel(ctx, k)
	o.reload.Kernel, o.reload.LoadedFrom = k, LoadedFrom(o.journal)
	r, err := reload.Open(&o.reload)
	if err != nil {
		return err
	}
	defer r.Close()
	plan, err := r.Plan(ctx, file, params)
	if err != nil {
		return o.conclude(out, plan.Result)
	}
	return o.attached(ctx, func(ctx context.Context, s *proof.Session) error {
		return o.conclude(out, CarryOut(ctx, r, s, plan))
	})
}

// conclude prints what came of a reload, and gives the command's error for it.
func (o *ReloadOptions) conclude(out io.Writer, r *reload.Result) error {
	err := render.PrintResult(out, o.json, r, func(t *render.ResultText) string { return t.Reload(r) })
	return errors.Join(err, ReloadError(r))
}

// CarryOut says that there is no way back before it removes anything.
func CarryOut(ctx context.Context, r *reload.Reloader, s *proof.Session, plan *reload.Plan) *reload.Result {
	if why := plan.NoWayBack(); why != "" {
		module := plan.Result.Module
		zerolog.Ctx(ctx).Warn().Str("module", module).Msgf("the loaded copy of %s cannot be restored: %s", module, why)
	}
	res, _ := r.Do(ctx, s, plan) // the result has the error
	return res
}

// LoadedFrom asks a journal from which file a module was loaded.
func LoadedFrom(path string) func(context.Context, string) string {
	return func(ctx context.Context, module string) string {
		known, err := history.LoadedNow(ctx, path, "/")
		if err != nil || known[module] == nil {
			return ""
		}
		return known[module].File
	}
}

// ReloadError is failure for a reload.
func ReloadError(r *reload.Result) error {
	hint := ""
	switch {
	case r.Check != nil:
		hint = "kmodtrace check says more; --unchecked asks the kernel all the same"
	case r.Decisive() != nil:
		hint = Hint(r.Decisive())
	}
	return Failure(r.Err(), hint)
}
