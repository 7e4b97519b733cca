package main

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/internal/act"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/spf13/cobra"
)

func newCheckCommand() *cobra.Command {
	var opts checkOptions
	cmd := &cobra.Command{
		Use:   "check FILE|NAME [PARAM=VALUE]...",
		Short: "Check whether a kernel would load a module, and if not, why",
		Long: `Check whether a kernel would load a module, without loading it: from the file, the symbols
that this kernel exports, its configuration, lockdown, signature policy and keys, and from
modprobe's configuration. Nothing is loaded. The causes are the same as for a refusal by the
kernel, in the order in which the kernel checks. A FILE is checked as insmod would load it,
a NAME as modprobe would load it, with its dependencies.

It works without privilege. It lists what it could not find out, because the answer may depend
on it. With --kernel, it checks for an installed kernel that is not running.

Exit status: 0 would load, as far as is known; 1 would be refused; 2 the command line is wrong;
3 unknown, because something that decides could not be found out.`,
		Example: "  kmodtrace check ./hello.ko whom=Bob\n  kmodtrace check xfs --kernel 6.12.48+deb13-amd64\n  kmodtrace check ./*.ko --json",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cli.Usagef("check takes FILES or a NAME, and parameters")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return opts.run(cmd.Context(), cmd.OutOrStdout(), args)
		},
	}
	cmd.Flags().BoolVar(&opts.json, "json", false, "print a JSON object on each line, one for each module (docs/schema/verdict.schema.json)")
	cmd.Flags().StringVar(&opts.kernel, "kernel", "", "the `RELEASE` of an installed kernel; the running one if not given")
	return cmd
}

type checkOptions struct {
	json   bool
	kernel string
}

func (o *checkOptions) run(ctx context.Context, out io.Writer, args []string) error {
	k, err := kernel.Open(&kernel.Options{Release: o.kernel})
	if errors.Is(err, kernel.ErrNotInstalled) {
		return &exitError{status: exitUsage, err: cells.OneLine(err)}
	}
	if err != nil {
		return err
	}
	targets, params := splitTargets(args)
	if _, err := params.Quote(); err != nil {
		return act.TargetError(err)
	}
	var failed cli.Failures
	for _, target := range targets {
		verdicts, err := checkTarget(ctx, k, target, params)
		if err != nil {
			return err
		}
		for _, v := range verdicts {
			failed.Add(verdictFailure(v))
			if err := o.print(out, v); err != nil {
				return err
			}
		}
	}
	return failed.Err()
}

// splitTargets takes what is NAME=VALUE for a parameter, and the first word for a
// target whatever it is.
func splitTargets(args []string) (targets []string, params kmod.Params) {
	for i, arg := range args {
		if i > 0 && strings.Contains(arg, "=") && !kmod.IsFile(arg) {
			params = append(params, arg)
		} else {
			targets = append(targets, arg)
		}
	}
	return targets, params
}

// checkTarget checks a file, or a name with what would be loaded before it.
func checkTarget(ctx context.Context, k *kernel.Kernel, target string, params kmod.Params) ([]*cause.Verdict, error) {
	if kmod.IsFile(target) {
		v, err := cause.Check(ctx, target, k, &cause.CheckOptions{Params: params})
		return []*cause.Verdict{v}, err
	}
	verdicts, err := cause.CheckName(ctx, target, k, params)
	if err != nil && ctx.Err() == nil {
		err = act.TargetError(err)
	}
	return verdicts, err
}

// verdictFailure gives the exit status for a verdict; there is nothing more to say.
func verdictFailure(v *cause.Verdict) error {
	switch v.Judgement {
	case cause.Refused:
		return &exitError{status: exitRefused, err: term.ErrSilent}
	case cause.Undecided:
		return &exitError{status: exitUnconfirmed, err: term.ErrSilent}
	}
	return nil
}

func (o *checkOptions) print(out io.Writer, v *cause.Verdict) error {
	return render.PrintResult(out, o.json, v, func(t *render.ResultText) string { return t.Verdict(v) })
}
