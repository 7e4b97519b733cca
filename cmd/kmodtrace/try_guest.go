package main

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

	"github.com/spf13/cobra"

	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/trial"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// newTrialGuestCommand is what try has run in its machine.
func newTrialGuestCommand() *cobra.Command {
	return &cobra.Command{
		Use:    trial.GuestCommand + " PLAN",
		Short:  "Carry out a plan of kmodtrace try, in its machine",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if os.Getenv("KMODTRACE_LAB") == "" {
				return cli.Usagef("%s is for a machine of the lab, where try calls it", trial.GuestCommand)
			}
			g := &trialGuest{out: json.NewEncoder(cmd.OutOrStdout())}
			if err := json.Unmarshal([]byte(args[0]), &g.plan); err != nil {
				return cli.Usagef("plan: %w", err)
			}
			return g.run(cmd.Context())
		},
	}
}

// trialGuest takes the steps of a plan, and tells each.
type trialGuest struct {
	session *proof.Session
	plan    trial.Plan
	out     *json.Encoder
	watch   *trial.Watch
}

// errHung ends the rounds: nobody waits any longer for a step.
var errHung = errors.New("a step does not end")

func (g *trialGuest) run(ctx context.Context) (err error) {
	if err := g.begin(0, trial.StepPrepare, ""); err != nil {
		return err
	}
	if g.session, _, err = openSession(ctx, tracer.Auto); err != nil {
		return errors.Join(err, g.tell(trial.Event{Step: trial.StepPrepare, Error: err.Error()}))
	}
	g.loadNeeded(ctx)
	g.watch = trial.NewWatch()
	if err := g.tell(trial.Event{Step: trial.StepPrepare, Ready: trial.Ready()}); err != nil {
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
	return g.begin(0, trial.StepDone, "")
}

// loadNeeded loads what the files depend on and what is no file of the plan. Whether that
// goes well shows in their own loads.
func (g *trialGuest) loadNeeded(ctx context.Context) {
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
func (g *trialGuest) round(ctx context.Context, round int) error {
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
	if err := g.begin(round, trial.StepLook, ""); err != nil {
		return err
	}
	return g.tell(trial.Event{Round: round, Step: trial.StepLook, Left: g.watch.Left(round == 1 || round == g.plan.Times)})
}

func (g *trialGuest) load(ctx context.Context, round int, path string, last bool) (live bool, err error) {
	if err := g.begin(round, trial.StepLoad, path); err != nil {
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
	explain(ctx, g.session, r)
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
	return loadErr == nil, g.told(round, trial.StepLoad, path, r)
}

func (g *trialGuest) unload(ctx context.Context, round int, path string) (gone bool, err error) {
	if err := g.begin(round, trial.StepUnload, path); err != nil {
		return false, err
	}
	f, err := kmod.Inspect(path)
	if err != nil {
		return false, err
	}
	limited, cancel := context.WithTimeout(ctx, g.plan.Patience)
	defer cancel()
	r, unloadErr := g.session.Unload(limited, f.Name, nil)
	explain(ctx, g.session, r)
	return unloadErr == nil, g.told(round, trial.StepUnload, path, r)
}

// told tells what came of a load or an unload. One that did not end, or died, is the
// last.
func (g *trialGuest) told(round int, step trial.Step, path string, r *proof.Result) error {
	if err := g.tell(trial.Event{Round: round, Step: step, Target: path, Result: r}); err != nil {
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

const maxOutput = 64 << 10

func (k *keptOutput) Write(text []byte) (int, error) {
	k.text = append(k.text, text[:min(len(text), maxOutput-len(k.text))]...)
	return len(text), nil
}

func (g *trialGuest) command(ctx context.Context, round int) error {
	if err := g.begin(round, trial.StepCommand, ""); err != nil {
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
	done := &trial.Command{Status: c.ProcessState.ExitCode(), Took: time.Since(begun), Output: string(output.text)}
	var exit *exec.ExitError
	switch {
	case limited.Err() != nil:
		done.Error = fmt.Sprintf("it did not end within %v", g.plan.Patience)
	case err != nil && !errors.As(err, &exit):
		done.Status, done.Error = -1, err.Error()
	}
	return g.tell(trial.Event{Round: round, Step: trial.StepCommand, Command: done})
}

// begin tells that a step begins, in the kernel's log too: what is printed last of a
// guest that dies is there.
func (g *trialGuest) begin(round int, step trial.Step, target string) error {
	e := trial.Event{Round: round, Step: step, Target: target, Begins: step != trial.StepDone}
	if f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0); err == nil {
		_, _ = io.WriteString(f, e.Mark()+"\n")
		_ = f.Close()
	}
	return g.tell(e)
}

func (g *trialGuest) tell(e trial.Event) error { return g.out.Encode(e) }
