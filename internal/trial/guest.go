package trial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// CarryOut takes the steps of a plan and writes what each came to, an [Event] a line. It runs in the
// trial's machine: open attaches the tracer there, which nobody detaches.
func (p Plan) CarryOut(ctx context.Context, out io.Writer, open func(context.Context) (*proof.Session, error)) error {
	g := &stepper{plan: p, out: json.NewEncoder(out)}
	return g.run(ctx, open)
}

// stepper takes the steps of a plan, and tells each.
type stepper struct {
	session *proof.Session
	plan    Plan
	out     *json.Encoder
	watch   *Watch
}

// errHung ends the rounds: nobody waits any longer for a step.
var errHung = errors.New("a step does not end")

func (g *stepper) run(ctx context.Context, open func(context.Context) (*proof.Session, error)) (err error) {
	if err := g.begin(0, StepPrepare, ""); err != nil {
		return err
	}
	if g.session, err = open(ctx); err != nil {
		return errors.Join(err, g.tell(Event{Step: StepPrepare, Error: err.Error()}))
	}
	g.loadNeeded(ctx)
	g.watch = NewWatch()
	if err := g.tell(Event{Step: StepPrepare, Ready: Ready()}); err != nil {
		return err
	}
	for round := 1; round <= g.plan.Times; round++ {
		err := g.round(ctx, round)
		if errors.Is(err, errHung) {
			// Whoever hangs may hold what detaching waits for: the machine is thrown away.
			break
		}
		if err != nil {
			return err
		}
	}
	return g.begin(0, StepDone, "")
}

// loadNeeded loads what the files depend on and what is not a file of the plan. Whether that
// goes well shows in their own loads.
func (g *stepper) loadNeeded(ctx context.Context) {
	var own []string
	for _, path := range g.plan.Files {
		if f, err := kmod.Inspect(path); err == nil {
			own = append(own, f.Name)
		}
	}
	for _, path := range g.plan.Files {
		f, err := kmod.Inspect(path)
		if err != nil {
			continue
		}
		for _, name := range f.Depends() {
			if !slices.Contains(own, name) {
				_, _ = kmod.Load(ctx, name, nil)
			}
		}
	}
}

// round loads all, runs the command, unloads what it loaded, and looks what is left.
func (g *stepper) round(ctx context.Context, round int) error {
	var loaded []string
	live := true
	for i, path := range g.plan.Files {
		ok, err := g.load(ctx, round, path, i == len(g.plan.Files)-1)
		if err != nil {
			return err
		}
		if live = ok; !live {
			break
		}
		loaded = append(loaded, path)
	}
	if live && len(g.plan.Command) > 0 {
		if err := g.command(ctx, round); err != nil {
			return err
		}
	}
	for _, path := range slices.Backward(loaded) {
		ok, err := g.unload(ctx, round, path)
		if err != nil {
			return err
		}
		if !ok {
			return errHung // it is in the way of another round
		}
	}
	if err := g.begin(round, StepLook, ""); err != nil {
		return err
	}
	return g.tell(Event{Round: round, Step: StepLook, Left: g.watch.Left(round == 1 || round == g.plan.Times)})
}

func (g *stepper) load(ctx context.Context, round int, path string, last bool) (live bool, err error) {
	if err := g.begin(round, StepLoad, path); err != nil {
		return false, err
	}
	var params kmod.Params
	for _, p := range g.plan.Params {
		if last {
			parsed, err := kmod.ParseParams(p)
			if err != nil {
				return false, err
			}
			params = append(params, parsed...)
		}
	}
	limited, cancel := context.WithTimeout(ctx, g.plan.Patience)
	defer cancel()
	r, loadErr := g.session.Load(limited, path, &kmod.LoadOptions{Params: params})
	g.session.Explain(context.WithoutCancel(ctx), r)
	for i := range r.Actions {
		a := &r.Actions[i]
		if a.Kind != tracer.Load {
			continue
		}
		if a.Outcome == tracer.Live {
			g.watch.Loaded(a.Module, path)
		} else {
			g.watch.Refused(a.Module, a.Details)
		}
	}
	return loadErr == nil, g.told(round, StepLoad, path, r)
}

func (g *stepper) unload(ctx context.Context, round int, path string) (gone bool, err error) {
	if err := g.begin(round, StepUnload, path); err != nil {
		return false, err
	}
	f, err := kmod.Inspect(path)
	if err != nil {
		return false, err
	}
	limited, cancel := context.WithTimeout(ctx, g.plan.Patience)
	defer cancel()
	r, unloadErr := g.session.Unload(limited, f.Name, nil)
	g.session.Explain(context.WithoutCancel(ctx), r)
	return unloadErr == nil, g.told(round, StepUnload, path, r)
}

// told tells what came of a load or an unload. One that did not end, or died, is the
// last.
func (g *stepper) told(round int, step Step, path string, r *proof.Result) error {
	if err := g.tell(Event{Round: round, Step: step, Target: path, Result: r}); err != nil {
		return err
	}
	if len(r.Actions) > 0 && r.Actions[len(r.Actions)-1].Crashed || !r.Verdict.Known() {
		return errHung
	}
	return nil
}

// keptOutput keeps the first part of a command's output, and drops the rest: the machine's
// memory is for the module.
type keptOutput struct{ text []byte }

const maxKept = 64 << 10

func (k *keptOutput) Write(text []byte) (int, error) {
	k.text = append(k.text, text[:min(len(text), maxKept-len(k.text))]...)
	return len(text), nil
}

func (g *stepper) command(ctx context.Context, round int) error {
	if err := g.begin(round, StepCommand, ""); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, g.plan.Patience)
	defer cancel()
	var output keptOutput
	c := exec.CommandContext(limited, g.plan.Command[0], g.plan.Command[1:]...)
	c.Stdout, c.Stderr = &output, &output
	c.WaitDelay = time.Second
	begun := time.Now()
	err := c.Run()
	done := &Command{Status: c.ProcessState.ExitCode(), Took: time.Since(begun), Output: string(output.text)}
	var exit *exec.ExitError
	switch {
	case limited.Err() != nil:
		done.Error = fmt.Sprintf("it did not end within %v", g.plan.Patience)
	case err != nil && !errors.As(err, &exit):
		done.Status, done.Error = -1, err.Error()
	}
	return g.tell(Event{Round: round, Step: StepCommand, Command: done})
}

// begin tells that a step begins, in the kernel's log too: what is printed last of a
// guest that dies is there.
func (g *stepper) begin(round int, step Step, target string) error {
	e := Event{Round: round, Step: step, Target: target, Begins: step != StepDone}
	if f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0); err == nil {
		_, _ = io.WriteString(f, e.Mark()+"\n")
		_ = f.Close()
	}
	return g.tell(e)
}

func (g *stepper) tell(e Event) error { return g.out.Encode(e) }
