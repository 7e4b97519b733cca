package main

import (
	"context"
	"fmt"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/spf13/cobra"
)

func newUnloadCommand() *cobra.Command {
	opts := new(unloadOptions)
	cmd := &cobra.Command{
		Use:   "unload NAME...",
		Short: "Unload modules, and prove it by the kernel's own events",
		Long: `Unload modules, one after another as given, like rmmod. The tracer is attached
first; an unload is confirmed when the kernel both answered with yes and was seen to
free the module. One that is refused does not keep the others from being tried.

A module whose refcount is negative is refused before the kernel is asked, also with --force,
as rmmod does: the kernel would not survive it (kmodtrace explain refcount-negative). So is one
whose refcount can be read neither in /sys nor in /proc.

Exit status: 0 all confirmed; 1 one refused; 2 the command line makes no sense; 3 one not
confirmed, or contradicted by the kernel's events; 4 this kernel, or this user, cannot
trace, and nothing was unloaded.`,
		Example: `  kmodtrace unload hello
  kmodtrace unload xfs libcrc32c --json
  kmodtrace unload hello --wait --timeout 10s`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cli.Usagef("unload takes the NAMES of modules")
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return loadedNames(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error { return opts.run(cmd, args) },
	}
	opts.register(cmd)
	cmd.Flags().BoolVar(&opts.Force, "force", false, "unload it even while it is in use; the kernel may crash")
	cmd.Flags().BoolVar(&opts.Wait, "wait", false, "while it is in use, ask again (see --timeout)")
	return cmd
}

// loadedNames serves completion: where there is no list there is nothing to offer.
func loadedNames() []string {
	modules, _ := kmod.List(nil)
	names := make([]string, len(modules))
	for i, m := range modules {
		names[i] = m.Name
	}
	return names
}

type unloadOptions struct {
	actOptions
	kmod.UnloadOptions
}

func (o *unloadOptions) run(cmd *cobra.Command, names []string) error {
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
	return o.act(cmd, jobs)
}

// moduleName checks a name before anything is attached.
func moduleName(name string) (string, error) {
	module, err := kmod.NormalName(name)
	if err != nil {
		return "", targetError(&kmod.Error{Op: "unload", Module: name, Err: err})
	}
	if kmod.IsFile(name) {
		return "", targetError(&kmod.Error{Op: "unload", Module: name, Err: fmt.Errorf("%w: it is a file's; the kernel knows it as %s", kmod.ErrBadName, cells.Short(kmod.NameOfFile(name)))})
	}
	return module, nil
}
