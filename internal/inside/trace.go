package inside

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/kmodtrace/kmodtrace/calls"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/ending"
	"github.com/kmodtrace/kmodtrace/internal/outfile"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/tail"
	"github.com/kmodtrace/kmodtrace/internal/tracing"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

// TraceOptions are those of kmodtrace trace.
type TraceOptions struct {
	view      render.CallsView
	json      bool
	timeout   time.Duration
	file      string
	readyFile string
	backend   tracer.Backend
	sum       string // of the file that was planned from
}

// Register adds the flags.
func (o *TraceOptions) Register(cmd *cobra.Command) {
	registerView(cmd, &o.view)
	flags := cmd.Flags()
	flags.BoolVar(&o.json, "json", false, "print a JSON object (docs/schema/trace.schema.json)")
	flags.DurationVar(&o.timeout, "timeout", 0, "stop waiting for the load after this `TIME`; 0 for never")
	flags.StringVar(&o.file, "file", "", "the `FILE` that will be loaded, where it is not the one that modprobe knows by the name")
	flags.StringVar(&o.readyFile, "ready-file", "", "create `FILE` when the probes are set")
	tracing.AddBackendFlag(cmd, &o.backend)
}

// Trace is what came of the next load. As JSON it is what docs/schema/trace.schema.json describes.
type Trace struct {
	Action *record.Record `json:"load"`
	Calls  *calls.Report  `json:"calls,omitempty"`
}

// Run waits for the next load of a module by anybody, and prints what it called.
func (o *TraceOptions) Run(ctx context.Context, out io.Writer, name string) (err error) {
	if o.timeout < 0 {
		return cli.Usagef("--timeout %v: must not be negative", o.timeout)
	}
	if err := outfile.RemoveStale(o.readyFile); err != nil {
		return err
	}
	defer ending.SurviveBrokenPipe()()
	plan, err := o.plan(ctx, name)
	if err != nil {
		return err
	}
	k, err := tracing.Kernel(ctx)
	if err != nil {
		return err
	}
	t, giveBack, err := tracing.Borrow(ctx, o.backend)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, giveBack()) }()
	render.SayBlind(zerolog.Ctx(ctx), t.Coverage())
	armed, err := calls.Arm(plan, nil)
	if err != nil {
		return cannotLookInside(plan.Module, err)
	}
	defer func() { err = errors.Join(err, armed.Close()) }()
	if o.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.timeout)
		defer cancel()
	}
	action, err := o.next(ctx, t, plan.Module)
	if err != nil {
		return err
	}
	report, err := armed.Stop(action.Thread.TID)
	found := record.NewPatientInquiry(k, false).All(context.WithoutCancel(ctx), action)
	if other := o.otherFile(&found); other != nil {
		report, err = nil, errors.Join(err, other)
	}
	proof.NameCall(found.Cause, report)
	return errors.Join(o.print(out, &Trace{&found, report}), err)
}

// plan finds the file that is expected.
func (o *TraceOptions) plan(ctx context.Context, name string) (*calls.Plan, error) {
	file := o.file
	if file == "" {
		var err error
		if file, err = kmod.FindOne(ctx, name); err != nil {
			return nil, cells.OneLine(fmt.Errorf("trace %s: %w", cells.Short(name), err))
		}
	} else if !kmod.IsFile(file) {
		file = "./" + file
	}
	steps, err := kmod.Plan(ctx, file, nil)
	if err != nil {
		return nil, cells.OneLine(fmt.Errorf("trace %s: %w", cells.Short(name), err))
	}
	module := steps[0].Module
	// A module that is only a built-in part of the kernel has a directory too, but no state.
	if _, err := os.Stat(filepath.Join("/sys/module", module, "initstate")); err == nil {
		return nil, cli.WithHint(fmt.Errorf("trace %s: %s is loaded already, and the next load is refused", cells.Short(name), module), "unload it first: kmodtrace unload "+module)
	}
	o.file = file
	if data, err := os.ReadFile(file); err == nil { // as it is, compressed or not: so is that of the load
		o.sum = fmt.Sprintf("%x", sha256.Sum256(data))
	}
	return newPlan(module, file, calls.Init)
}

// next waits until a load of the module has ended.
func (o *TraceOptions) next(ctx context.Context, t *tracer.Tracer, module string) (*tracer.Action, error) {
	if err := outfile.WriteReady(o.readyFile); err != nil {
		return nil, err
	}
	actions := tail.New(ctx, t.Actions)
	defer actions.Finish()
	var ongoing *tracer.Action
	for a := range actions.Items {
		if a.Kind != tracer.Load || a.Module != module || a.SharedWith != 0 {
			continue
		}
		if ongoing = a; !a.Preliminary {
			return a, nil
		}
	}
	switch {
	case actions.Err != nil:
		return nil, actions.Err
	case ongoing != nil: // nobody waits for its end any more
		return ongoing, nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("trace %s: no load of it within %v", module, o.timeout)
	}
	return nil, fmt.Errorf("trace %s: interrupted before a load of it came", module)
}

// otherFile tells of a load from a file that is not the one that was planned from: whatever was probed in it is
// something else.
func (o *TraceOptions) otherFile(r *record.Record) error {
	if r.Origin == nil || r.Origin.SHA256 == "" {
		return nil
	}
	if o.sum == "" || o.sum == string(r.Origin.SHA256) {
		return nil
	}
	return cli.WithHint(fmt.Errorf("trace %s: it was loaded from another file than %s, so that its calls are not known", r.Module, cells.Short(o.file)), "--file names the file that is loaded")
}

func (o *TraceOptions) print(out io.Writer, r *Trace) error {
	return render.PrintResult(out, o.json, r, func(t *render.ResultText) string {
		return t.Text(append(t.Block(r.Action, false), t.Calls(r.Calls, o.view)...))
	})
}
