// Package inside has the commands look inside a module's init or exit: what is to be probed, how that is
// asked for, and the next load by anybody.
package inside

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/kmodtrace/kmodtrace/calls"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

// Options are the flags of the commands that look inside an init or exit of their own.
type Options struct {
	Wanted bool
	file   string // of what is unloaded
	render.CallsView
}

// Register adds the flags; part is init or exit.
func (c *Options) Register(cmd *cobra.Command, part calls.Part) {
	cmd.Flags().BoolVar(&c.Wanted, "calls", false, fmt.Sprintf("probe the module's own code, and print which call inside its %v failed first", part))
	registerView(cmd, &c.CallsView)
	if part == calls.Exit {
		cmd.Flags().StringVar(&c.file, "file", "", "with --calls: the `FILE` that it was loaded from, where it is not the one that modprobe knows")
	}
}

// registerView adds those of what is printed.
func registerView(cmd *cobra.Command, view *render.CallsView) {
	cmd.Flags().BoolVar(&view.Tree, "tree", false, "print all calls as they were nested, with results and times")
	cmd.Flags().BoolVar(&view.Slow, "slow", false, "print the functions that took longest by themselves")
}

// Check refuses flags that have nothing to say something about.
func (c *Options) Check() error {
	if !c.Wanted && (c.Tree || c.Slow) {
		return cli.Usagef("--tree and --slow need --calls")
	}
	if !c.Wanted && c.file != "" {
		return cli.Usagef("--file needs --calls")
	}
	return nil
}

// newPlan reads from a module's file what can be probed.
func newPlan(module, path string, part calls.Part) (*calls.Plan, error) {
	image, err := kmod.ReadImage(path)
	if err != nil {
		return nil, cannotLookInside(path, err)
	}
	o := calls.PlanOptions{Part: part, Types: calls.KernelTypes()}
	if ofThisKernel(image) {
		o.OwnTypes = calls.ModuleTypes(image)
	}
	plan, err := calls.NewPlan(module, image, &o)
	if err != nil {
		return nil, cannotLookInside(path, err)
	}
	return plan, nil
}

// ofThisKernel tells whether a module was built together with the running kernel, from its sources.
func ofThisKernel(image []byte) bool {
	f, err := kmod.Parse(image)
	if err != nil {
		return false
	}
	release, err := tracer.Release()
	built, _, _ := strings.Cut(f.Value("vermagic"), " ")
	return err == nil && f.Value("intree") == "Y" && built == release
}

func cannotLookInside(what string, err error) error {
	hint := "kmodtrace doctor lists what this kernel offers"
	if errors.Is(err, calls.ErrNoSymbols) {
		hint = "build it without stripping; strip --strip-debug keeps the symbols"
	}
	return cli.Unable(cells.OneLine(fmt.Errorf("cannot look inside %s: %w", cells.Short(what), err)), hint)
}

// Probes are those of a plan, in the kernel; nil where none are wanted.
type Probes struct {
	armed  *calls.Armed
	module string
}

// Set sets the probes of a plan, which may be nil.
func Set(plan *calls.Plan) (*Probes, error) {
	if plan == nil {
		return nil, nil
	}
	a, err := calls.Arm(plan, nil)
	if err != nil {
		return nil, cannotLookInside(plan.Module, err)
	}
	return &Probes{a, plan.Module}, nil
}

// Report takes the probes away, and adds to a result what they saw.
func (p *Probes) Report(ctx context.Context, r *proof.Result) {
	if p == nil {
		return
	}
	var err error
	if r.Calls, err = p.armed.Stop(threadOf(r, p.module)); err != nil {
		zerolog.Ctx(ctx).Warn().Str("module", p.module).Msgf("the probes of %s are not removed: %v", p.module, err)
	}
}

// Close takes them away where nothing was done.
func (p *Probes) Close() error {
	if p == nil {
		return nil
	}
	return p.armed.Close()
}

// threadOf gives the thread that acted on a module; zero for none.
func threadOf(r *proof.Result, module string) uint32 {
	for i := len(r.Actions) - 1; i >= 0; i-- {
		if a := &r.Actions[i]; a.Module == module {
			return a.Thread.TID
		}
	}
	return 0
}

// targetStep gives the step of the module that is asked for; nil where nothing is loaded for it.
func targetStep(steps []kmod.Step) *kmod.Step {
	for i := range steps {
		if steps[i].Target && steps[i].Kind == kmod.StepLoad {
			return &steps[i]
		}
	}
	return nil
}

// PlanLoad plans for the file that is to be loaded.
func (c *Options) PlanLoad(steps []kmod.Step) (*calls.Plan, error) {
	step := targetStep(steps)
	if !c.Wanted || step == nil {
		return nil, nil
	}
	return newPlan(step.Module, step.Path, calls.Init)
}
