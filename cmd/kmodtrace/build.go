package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/ending"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/kbuild"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/spf13/cobra"
)

func newBuildCommand() *cobra.Command {
	var opts buildOptions
	cmd := &cobra.Command{
		Use:   "build [DIR|FILE.c...] [NAME=VALUE]...",
		Short: "Build modules with the kernel's own build system",
		Long: `Build the modules of a directory, the current one if none is given, with the headers of the
running kernel or of another one. A Makefile or Kbuild with obj-m is used as it is, as the
kernel's build system reads it: its own target "all" is not run. A directory without one, and
each FILE.c, gets the obvious rules for this build only. NAME=VALUE goes to make, such as
V=1 or KCFLAGS=-DDEBUG.

Only the modules are written into the directory, and Module.symvers if they export symbols; with
--out they are written elsewhere. Other files that make creates stay in the user's cache directory,
so that the next build compiles only what changed. The compiler's output goes to standard
error unchanged.

Exit status: 0 built; 1 not built, because of a compiler error or a file; 2 the command line is
wrong; 4 this machine lacks what building needs, and nothing was done.`,
		Example: `  kmodtrace build
  kmodtrace build ./hello.c --out /tmp
  kmodtrace build drivers/mine --kernel 6.12.48+deb13-amd64 KCFLAGS=-DDEBUG
  kmodtrace build user --symbols provider/Module.symvers
  kmodtrace build --json | jq -r '.modules[].path'`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"c"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := noEmpty(cmd, "kernel", "out"); err != nil {
				return err
			}
			defer ending.SurviveBrokenPipe()()
			return opts.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), args)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.kernel, "kernel", "", "build for the installed kernel of this `RELEASE`, or with the headers in this directory (a name with a slash); the running kernel if not given")
	flags.StringVar(&opts.out, "out", "", "put the modules into `DIR`, and nothing into the directory of the sources")
	flags.StringArrayVar(&opts.symbols, "symbols", nil, "use the symbols of the modules that this `FILE` lists, a Module.symvers; may be repeated")
	flags.BoolVar(&opts.json, "json", false, "print a JSON object (docs/schema/build.schema.json)")
	return cmd
}

// noEmpty refuses flags that are given and empty, as by a script whose variable is not set: to do
// as if they were not given is not what was meant.
func noEmpty(cmd *cobra.Command, flags ...string) error {
	for _, name := range flags {
		if f := cmd.Flags().Lookup(name); f.Changed && f.Value.String() == "" {
			return cli.Usagef("--%s: must not be empty; give a value, or no --%s", name, name)
		}
	}
	return nil
}

type buildOptions struct {
	kernel, out string
	symbols     []string
	json        bool
}

func (o *buildOptions) run(ctx context.Context, out, messages io.Writer, args []string) error {
	paths, variables := buildTargets(args)
	for _, v := range variables {
		if _, err := os.Lstat(v); err == nil {
			return cli.Usagef("%s: a variable for make, or what is called so here? ./%s is the latter", cells.Short(v), cells.Short(v))
		}
	}
	built, err := kbuild.Build(ctx, paths, &kbuild.Options{
		Kernel: o.kernel, Out: o.out, Symbols: o.symbols, Variables: variables, Output: messages,
	})
	if err != nil && ctx.Err() != nil { // what was built before a signal came, is built
		return cli.WithHint(cells.OneLine(err), "nothing was written")
	}
	o.compare(built)
	failure := render.BuildError(err)
	if errors.Is(err, kbuild.ErrBadTarget) {
		return failure
	}
	if err := o.print(out, render.NewBuild(built, failure)); err != nil {
		return err
	}
	return failure
}

// compare notes a module that the running kernel would refuse for what it was built for,
// where the headers have not told that already.
func (o *buildOptions) compare(r *kbuild.Result) {
	if o.kernel != "" || len(r.Notes) > 0 || len(r.Modules) == 0 {
		return
	}
	k, err := kernel.Open(nil)
	if err != nil {
		return
	}
	// What is not known here, the kernel will say.
	if want, err := k.Vermagic(); err == nil && strings.TrimSpace(want) != r.Modules[0].Vermagic {
		r.Notes = append(r.Notes, fmt.Sprintf("built for %q, and the kernel that runs is %q: it will refuse this", r.Modules[0].Vermagic, strings.TrimSpace(want)))
	}
}

// buildTargets takes what is NAME=VALUE for make's, unless it has a slash before that.
func buildTargets(args []string) (paths, variables []string) {
	for _, arg := range args {
		if name, _, ok := strings.Cut(arg, "="); ok && !strings.Contains(name, "/") {
			variables = append(variables, arg)
		} else {
			paths = append(paths, arg)
		}
	}
	return paths, variables
}

func (o *buildOptions) print(out io.Writer, r *render.Build) error {
	return render.PrintResult(out, o.json, r, func(t *render.ResultText) string { return t.Build(r) })
}
