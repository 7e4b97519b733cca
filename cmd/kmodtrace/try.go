package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/kmodtrace/kmodtrace/internal/act"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/lab"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/internal/trial"
)

func newTryCommand() *cobra.Command {
	opts := new(tryOptions)
	cmd := &cobra.Command{
		Use:   "try FILE... [PARAM=VALUE]... [flags] [-- COMMAND [ARGUMENT]...]",
		Short: "Test modules in a disposable virtual machine",
		Long: `Boot the kernel that the modules were built for in a virtual machine, load the FILES there
in their order, run the COMMAND if there is one, unload them in reverse order, and do
all of that N times (--times). PARAM=VALUE is for the last FILE. What they depend on is
loaded first, as far as that kernel has it. This machine's own kernel is not touched.

The verdict is the worst of what happened:
  passed          loaded and unloaded each time, and nothing was left
  leaked          memory, an entry in /proc, /sys or /dev, a thread or the like was left
  warned          the kernel complained, or is tainted by more than the module's presence
  command-failed  the COMMAND's exit status was not 0
  stuck           it could not be unloaded: something holds a reference, or it has no exit
  refused         it was not loaded: the cause says why
  hung            a step did not end within --patience, or the machine stopped answering, or
                  what it reported is not what was to be done
  out-of-memory   the machine had no memory left
  crashed         its code faulted: where, as far as the file's debug information tells
  panicked        the whole kernel stopped

Leaks of slab and vmalloc memory are detected; leaks of pages and of per-CPU memory that the
module allocates itself are not.

A trial is a test, not an inspection: the module controls the whole virtual machine. A malicious
module can forge reports, or behave well while it is watched. It cannot reach this machine. The
verdict is good only if each step was reported and the kernel's console shows nothing else.

Exit status: 0 passed; 1 any other verdict; 2 the command line is wrong; 125 the virtual
machine failed, or its kernel is not available.`,
		Example: `  kmodtrace try ./hello.ko --times 10
  kmodtrace try ./base.ko ./user.ko debug=1
  kmodtrace try ./mydev.ko -- sh -c 'echo hello > /dev/mydev && cat /dev/mydev'
  kmodtrace try ./hello.ko --kernel 6.12 --json`,
		Args: func(cmd *cobra.Command, args []string) error { return opts.plan.Parse(args, cmd.ArgsLenAtDash()) },
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := noEmpty(cmd, "kernel"); err != nil {
				return err
			}
			return opts.run(cmd)
		},
	}
	flags := cmd.Flags()
	flags.IntVarP(&opts.plan.Times, "times", "n", 3, "do it `N` times")
	flags.StringVar(&opts.kernel, "kernel", "", "boot this `RELEASE` or series instead of the kernel that the last FILE was built for; fetched when absent")
	flags.DurationVar(&opts.plan.Patience, "patience", 30*time.Second, "a step that takes longer than this `TIME` counts as hung")
	flags.BoolVar(&opts.json, "json", false, "print one JSON object (docs/schema/trial.schema.json)")
	return cmd
}

type tryOptions struct {
	plan   trial.Plan
	kernel string
	json   bool
}

func (o *tryOptions) run(cmd *cobra.Command) error {
	m, err := o.machine(cmd.Context(), cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	r, err := trial.Run(cmd.Context(), m, o.plan)
	if err != nil {
		if cmd.Context().Err() != nil {
			err = fmt.Errorf("try %s: stopped: %w", cells.Short(o.plan.Files[0]), err)
		}
		return labError(err)
	}
	out := cmd.OutOrStdout()
	if o.json {
		err = term.PrintJSON(out, r)
	} else {
		err = term.PrintTo(out, func(w io.Writer) error {
			_, err := io.WriteString(w, render.NewTrialText(term.ThemeOf(out), term.Columns(out)).Render(r))
			return err
		})
	}
	if err == nil && r.Verdict != trial.Passed {
		err = cells.OneLine(fmt.Errorf("%s: %s", r.Verdict, r.Why))
	}
	return err
}

// machine is one with the kernel that the last file was built for, unless --kernel names another.
func (o *tryOptions) machine(ctx context.Context, progress io.Writer) (m lab.Machine, err error) {
	target, err := trial.BuiltFor(o.plan.Files)
	if err != nil {
		return m, act.TargetError(err)
	}
	hint := "it was built for " + cells.Short(target.Release) + "; --kernel boots another: kmodtrace lab kernels lists them"
	if o.kernel != "" {
		target.Release, hint = o.kernel, ""
	}
	cache, err := lab.CacheDir()
	if err != nil {
		return m, labError(err)
	}
	m, err = target.Machine(ctx, cache, progress)
	switch {
	case errors.Is(err, trial.ErrNoRelease):
		return m, cli.WithHint(err, "--kernel names one: kmodtrace lab kernels lists them")
	case err != nil:
		return m, &exitError{status: exitLab, err: err, hint: hint}
	}
	return m, nil
}
