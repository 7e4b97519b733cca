package proof

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
	"golang.org/x/sys/unix"
)

// TestErrMatchesItsVerdict: each verdict has one sentinel, and what is inside is found too,
// also of a Result that was decoded.
func TestErrMatchesItsVerdict(t *testing.T) {
	eio := &kmod.Error{Op: "load", Module: "x", Err: unix.EIO}
	sentinels := map[Verdict]error{Refused: ErrRefused, Unconfirmed: ErrUnconfirmed, Contradicted: ErrContradicted}
	for verdict := range sentinels {
		r := NewResult(tracer.Load, "x", verdict, eio)
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var decoded Result
		if err := json.Unmarshal(text, &decoded); err != nil {
			t.Fatal(err)
		}
		for _, r := range []*Result{r, &decoded} {
			err := fmt.Errorf("wrapped: %w", r.Err())
			for of, sentinel := range sentinels {
				if errors.Is(err, sentinel) != (of == verdict) {
					t.Errorf("%s is %v: %v", verdict, sentinel, !errors.Is(err, sentinel))
				}
			}
			var e *Error
			if !errors.As(err, &e) || e.Verdict != verdict || e.Error() != eio.Error() {
				t.Errorf("%s: %v", verdict, err)
			}
		}
		if !errors.Is(r.Err(), unix.EIO) || (r.Errno == unix.EIO) != (verdict == Refused) {
			t.Errorf("%s: %v, errno %d", verdict, r.Err(), r.Errno)
		}
		if verdict.Known() != (verdict == Refused) {
			t.Errorf("%s: known %v", verdict, verdict.Known())
		}
	}
	if err := NewResult(tracer.Load, "x", Confirmed, nil).Err(); err != nil || !Confirmed.Known() {
		t.Errorf("confirmed: %v", err)
	}
}

// TestReasonIsTheCause: the errno of a refusal can stand for something else, and the reason is that
// of the cause; what the errno and the library's sentinel are stays reachable.
func TestReasonIsTheCause(t *testing.T) {
	k, err := kernel.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	minus := int64(-17)
	refused := tracer.Action{
		Kind: tracer.Load, Module: "hello", Outcome: tracer.Failed, Stage: tracer.StageInit,
		Errno: unix.EEXIST, ErrnoName: "EEXIST", InitResult: &minus,
	}
	r := NewResult(tracer.Load, "./hello.ko", Refused, &kmod.Error{Op: "load", Module: "hello", Err: unix.EEXIST})
	r.Actions = []record.Record{{Action: refused}}
	r.explain(t.Context(), k, record.NewPatientInquiry(k, false))
	if want := "load ./hello.ko: init-refused: its own init returned EEXIST"; r.Reason != want || r.Err().Error() != want {
		t.Errorf("%q, %v; want %q", r.Reason, r.Err(), want)
	}
	if !errors.Is(r.Err(), unix.EEXIST) || !errors.Is(r.Err(), ErrRefused) || r.Errno != unix.EEXIST {
		t.Errorf("%+v", r)
	}
	waited := fmt.Errorf("%w: %w", kmod.ErrInUse, context.DeadlineExceeded)
	if err := (&causedError{"unload", "base", &cause.Cause{Code: cause.HeldByModules, Text: "user uses base"}, waited}); err.Error() != "unload base: held-by-modules: user uses base (stopped waiting)" {
		t.Error(err)
	}
	// Of what cannot be told, the answer is all there is.
	if err := (&causedError{"load", "x", &cause.Cause{Code: cause.Unknown}, unix.EIO}); err.Error() != unix.EIO.Error() {
		t.Error(err)
	}
}

// TestClosedSession: what cannot be asked is refused, and closing again does nothing.
func TestClosedSession(t *testing.T) {
	s := new(Session)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	r, err := s.Call(t.Context(), tracer.Unload, "x", func() error { t.Error("it was called"); return nil })
	if !errors.Is(err, ErrClosed) || !errors.Is(err, ErrRefused) || r.Reason != "unload x: the session is closed" {
		t.Errorf("%v: %+v", err, r)
	}
	for _, name := range []string{"", "a/b", "-f"} {
		if r, err := s.Unload(t.Context(), name, nil); !errors.Is(err, kmod.ErrBadName) || r.Verdict != Refused {
			t.Errorf("%q: %v", name, err)
		}
	}
	if r, err := s.Load(t.Context(), "./nosuch.ko", nil); !errors.Is(err, kmod.ErrNotFound) || !errors.Is(err, ErrRefused) || r.ErrnoName != "ENOENT" {
		t.Errorf("%v: %+v", err, r)
	}
}

// TestStepsWithoutACall: steps that need none are taken, and those that cannot be end the load.
func TestStepsWithoutACall(t *testing.T) {
	s := new(Session)
	done := kmod.Step{Kind: kmod.StepLoaded, Module: "a"}
	if r, err := s.LoadSteps(t.Context(), "a", []kmod.Step{done, {Kind: kmod.StepBuiltin, Module: "b"}}); err != nil || r.Verdict != Confirmed || r.Actions == nil {
		t.Errorf("%v: %+v", err, r)
	}
	install := kmod.Step{Kind: kmod.StepInstall, Module: "c", Command: "true"}
	if r, err := s.LoadSteps(t.Context(), "c", []kmod.Step{done, install, {Kind: kmod.StepLoad, Module: "d"}}); !errors.Is(err, kmod.ErrInstallCommand) || r.Verdict != Refused {
		t.Errorf("%v: %+v", err, r)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	r, err := s.LoadSteps(stopped, "e", []kmod.Step{{Kind: kmod.StepLoad, Module: "e"}})
	if !errors.Is(err, context.Canceled) || !errors.Is(err, ErrUnconfirmed) || r.Reason != "load e: context canceled" {
		t.Errorf("%v: %+v", err, r)
	}
}

// TestRefusedOnTheWay: of which step a refusal is, the plan says; the name of a module does not.
func TestRefusedOnTheWay(t *testing.T) {
	k, err := kernel.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	minus := int64(-19)
	refused := record.Record{Action: tracer.Action{
		Kind: tracer.Load, Module: "b", Outcome: tracer.Failed, Stage: tracer.StageInit, Errno: unix.ENODEV, ErrnoName: "ENODEV", InitResult: &minus,
	}}
	for name, c := range map[string]struct {
		steps func(*Result)
		err   error
		code  cause.Code
	}{
		"what was asked for, by an alias": {func(r *Result) { r.begin(false); r.Actions = append(r.Actions, refused) }, unix.ENODEV, cause.InitRefused},
		"a dependency":                    {func(r *Result) { r.begin(true); r.Actions = append(r.Actions, refused) }, unix.ENODEV, cause.DependencyFailed},
		"after a soft one": {func(r *Result) { r.begin(true); r.Actions = append(r.Actions, refused); r.begin(false) },
			kmod.ErrBuiltin, cause.BuiltIn},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewResult(tracer.Load, "a", Refused, &kmod.Error{Op: "load", Module: "b", Err: c.err})
			c.steps(r)
			r.explain(t.Context(), k, record.NewPatientInquiry(k, false))
			if r.Cause == nil || r.Cause.Code != c.code {
				t.Errorf("%v, want %s", r.Cause, c.code)
			}
		})
	}
}
