package act

import (
	"context"
	"errors"
	"fmt"

	"github.com/kmodtrace/kmodtrace/calls"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

// Calls are the flags of the commands that look inside an init or exit.
type Calls struct {
	Wanted bool
	render.CallsView
}

// Register adds the flags; part is init or exit.
func (c *Calls) Register(cmd *cobra.Command, part calls.Part) {
	cmd.Flags().BoolVar(&c.Wanted, "calls", false, fmt.Sprintf("probe the module's own code, and print which call inside its %v failed first", part))
	c.RegisterView(cmd)
}

// RegisterView adds those of what is printed.
func (c *Calls) RegisterView(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&c.Tree, "tree", false, "print all calls as they were nested, with results and times")
	cmd.Flags().BoolVar(&c.Slow, "slow", false, "print the functions that took longest by themselves")
}

// Check refuses flags that have nothing to say something about.
func (c *Calls) Check() error {
	if !c.Wanted && (c.Tree || c.Slow) {
		return cli.Usagef("--tree and --slow need --calls")
	}
	return nil
}

// PlanCalls reads from a module's file what can be probed.
func PlanCalls(module, path string, part calls.Part) (*calls.Plan, error) {
	image, err := kmod.ReadImage(path)
	if err != nil {
		return nil, FileError("look inside", path, err)
	}
	plan, err := calls.NewPlan(module, image, &calls.PlanOptions{Part: part, Types: calls.KernelTypes()})
	if err != nil {
		return nil, cannotLookInside(path, err)
	}
	return plan, nil
}

func cannotLookInside(what string, err error) error {
	hint := "kmodtrace doctor lists what this kernel offers"
	if errors.Is(err, calls.ErrNoSymbols) {
		hint = "build it without stripping; strip --strip-debug keeps the symbols"
	}
	return cli.Unable(cells.OneLine(fmt.Errorf("cannot look inside %s: %w", cells.Short(what), err)), hint)
}

// armed are the probes of a plan; nil where none are wanted.
type armed struct {
	*calls.Armed
	module string
}

// armCalls sets the probes of a plan, which may be nil.
func armCalls(plan *calls.Plan) (*armed, error) {
	if plan == nil {
		return nil, nil
	}
	a, err := calls.Arm(plan, nil)
	if err != nil {
		return nil, cannotLookInside(plan.Module, err)
	}
	return &armed{a, plan.Module}, nil
}

// report takes the probes away, and adds to a result what they saw.
func (a *armed) report(ctx context.Context, r *proof.Result) {
	if a == nil {
		return
	}
	var err error
	if r.Calls, err = a.Stop(threadOf(r, a.module)); err != nil {
		zerolog.Ctx(ctx).Warn().Str("module", a.module).Msgf("the probes of %s are not removed: %v", a.module, err)
	}
}

// close takes them away where nothing was done.
func (a *armed) close() error {
	if a == nil {
		return nil
	}
	return a.Close()
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

// planLoad plans for the file that is to be loaded.
func (c *Calls) planLoad(steps []kmod.Step) (*calls.Plan, error) {
	step := targetStep(steps)
	if !c.Wanted || step == nil {
		return nil, nil
	}
	return PlanCalls(step.Module, step.Path, calls.Init)
}
