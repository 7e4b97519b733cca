package main

import (
	"context"
	"errors"
	"io"

	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/reload"
	"github.com/kmodtrace/kmodtrace/service"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

var errNoFile = errors.New("not a file's name")

func newReloadCommand() *cobra.Command {
	opts := new(reloadOptions)
	cmd := &cobra.Command{
		Use:   "reload FILE [PARAM=VALUE]...",
		Short: "Take the old copy of a module out and load the new one, or put the old one back",
		Long: `Take the copy of a module that is in the kernel out, and load FILE, which is a new build of
it. Both are confirmed by the kernel's own events, as by unload and load. A module that
is not loaded is just loaded.

The new copy gets the parameters that the old one has, unless there are some on the command
line. For a copy that kmodtrace loaded they are those that it was given, and what was changed
since; for another all that it shows below /sys/module.

A file that this kernel would refuse, as kmodtrace check finds, leaves the old copy in the
kernel, and so does an old copy that is in use or cannot be unloaded, or whose refcount is
negative, of which the kernel is not even asked. Where the new one does not
load, or somebody interrupts in between, the old one is put back, with its parameters. (What
the kernel has begun nobody can stop: after an interrupt it has ten seconds to answer.) The
old file is kept for that by content, for the build has overwritten it by then: kmodtrace keeps
the files that it loads in ` + reload.DefaultStore + `. Of others a file with the build ID
of the loaded copy is looked for: FILE itself, where the journal of kmodtrace serve saw it
loaded from, the installed one. Where there is none, it is said before anything is removed.

Exit status: 0 the new copy is in the kernel, confirmed; 1 refused, and the old copy is back or
was not touched; 2 the command line makes no sense; 3 not confirmed, or contradicted by the
kernel's events, or neither copy is in the kernel; 4 this kernel, or this user, cannot
trace, and nothing was done.`,
		Example: `  kmodtrace reload ./hello.ko
  kmodtrace reload ./hello.ko whom=Bob
  make && sudo kmodtrace reload ./driver.ko --wait --timeout 10s`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cli.Usagef("reload takes a FILE, and parameters")
			}
			if !kmod.IsFile(args[0]) {
				return &exitError{status: exitUsage, err: fileError("reload", args[0], errNoFile), hint: "reload takes the file of the new build, such as ./NAME.ko"}
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"ko", "gz", "xz", "zst"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return opts.run(cmd, args[0], kmod.Params(args[1:]))
		},
	}
	opts.register(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&opts.Wait, "wait", false, "while the old copy is in use, ask again (see --timeout)")
	flags.BoolVar(&opts.Fresh, "fresh", false, "do not take the old copy's parameters over")
	flags.BoolVar(&opts.Unchecked, "unchecked", false, "take the old copy out even if this kernel would refuse the file")
	flags.StringVar(&opts.journal, "journal", service.DefaultJournal, "look in the journal in this `FILE` for where the old copy was loaded from")
	flags.Lookup("json").Usage = "print a JSON object (docs/schema/reload.schema.json)"
	return cmd
}

type reloadOptions struct {
	actOptions
	reload.Options
	journal string
}

func (o *reloadOptions) run(cmd *cobra.Command, file string, params kmod.Params) error {
	if err := o.check(); err != nil {
		return err
	}
	// What cannot even be tried is refused before anything is attached.
	if _, err := kmod.Plan(cmd.Context(), file, &kmod.LoadOptions{Params: params}); err != nil {
		return fileError("reload", file, err)
	}
	k, err := borrowKernel(cmd.Context())
	if err != nil {
		return err
	}
	cmd.SetContext(lendKernel(cmd.Context(), k))
	o.Kernel, o.LoadedFrom = k, loadedFrom(o.journal)
	r, err := reload.Open(&o.Options)
	if err != nil {
		return err
	}
	defer r.Close()
	plan, err := r.Plan(cmd.Context(), file, params)
	if err != nil {
		return o.conclude(cmd.OutOrStdout(), plan.Result)
	}
	return o.attached(cmd, func(ctx context.Context, s *proof.Session) error {
		return o.conclude(cmd.OutOrStdout(), carryOut(ctx, r, s, plan))
	})
}

// conclude prints what came of a reload, and gives the command's error for it.
func (o *reloadOptions) conclude(out io.Writer, r *reload.Result) error {
	err := render.PrintResult(out, o.json, r, func(t *render.ResultText) string { return t.Reload(r) })
	return errors.Join(err, reloadFailure(r))
}

// carryOut says that there is no way back before it removes anything.
func carryOut(ctx context.Context, r *reload.Reloader, s *proof.Session, plan *reload.Plan) *reload.Result {
	if why := plan.NoWayBack(); why != "" {
		module := plan.Result.Module
		zerolog.Ctx(ctx).Warn().Str("module", module).Msgf("there is no way back to the copy of %s that is loaded: %s", module, why)
	}
	res, _ := r.Do(ctx, s, plan) // the result has the error
	return res
}

// loadedFrom asks a journal from which file a module was loaded.
func loadedFrom(path string) func(context.Context, string) string {
	return func(ctx context.Context, module string) string {
		known, err := history.LoadedNow(ctx, path, "/")
		if err != nil || known[module] == nil {
			return ""
		}
		return known[module].File
	}
}

// reloadFailure is failure for a reload.
func reloadFailure(r *reload.Result) error {
	hint := ""
	switch {
	case r.Check != nil:
		hint = "kmodtrace check says more; --unchecked asks the kernel all the same"
	case r.Decisive() != nil:
		hint = resultHint(r.Decisive())
	}
	return failure(r.Err(), hint)
}
