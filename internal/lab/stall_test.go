package lab

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/lab/guest"
)

// TestSignalReachesCommand: and the run comes to its own end.
func TestSignalReachesCommand(t *testing.T) {
	m, q, image := fakeMachine(t, "signal")
	signals := make(chan os.Signal, 1)
	signals <- syscall.SIGQUIT
	m.Signals = signals
	var stdout, said bytes.Buffer
	m.Progress = &said
	var r report
	err := ends(t, func() error { return m.live(t.Context(), q, supply{image: image}, &r, &stdout, io.Discard) })
	if err != nil || r.status.Status != 128+3 || stdout.String() != "stacks" {
		t.Errorf("status %d, %q, %v", r.status.Status, &stdout, err)
	}
	if !strings.Contains(said.String(), "the guest's console") {
		t.Errorf("it said %q: not what the kernel did", said.String())
	}
}

// TestStalledCommandIsAsked: it gets SIGQUIT first, and a run that ends by that is whole.
func TestStalledCommandIsAsked(t *testing.T) {
	m, q, image := fakeMachine(t, "signal")
	m.Stall = 10 * time.Second // far more than the fake takes to say its first word
	var stdout bytes.Buffer
	var r report
	err := ends(t, func() error { return m.live(t.Context(), q, supply{image: image}, &r, &stdout, io.Discard) })
	if err != nil || r.status.Status != 128+3 || stdout.String() != "stacks" {
		t.Errorf("status %d, %q, %v", r.status.Status, &stdout, err)
	}
}

// TestSilentGuestIsEnded: also one that does not boot, and one that takes no signals.
func TestSilentGuestIsEnded(t *testing.T) {
	for _, what := range []string{"silent", "no-credit", "no-done", "half-a-frame", "children"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			m, q, image := fakeMachine(t, what)
			m.Stall = 2 * time.Second
			m.Stdin = endless{}
			r := report{status: guest.ExitStatus{Status: -1}}
			err := ends(t, func() error { return m.live(t.Context(), q, supply{image: image}, &r, io.Discard, io.Discard) })
			var crash *CrashError
			if !errors.As(err, &crash) || !strings.Contains(crash.Reason, "the guest sent nothing for ") || r.status.Status != -1 {
				t.Errorf("status %d, %v", r.status.Status, err)
			}
		})
	}
}

// TestSignalInGuest: a real guest's command and its children have it, and the run comes to
// its end.
func TestSignalInGuest(t *testing.T) {
	m := quick(t)
	signals := make(chan os.Signal, 1)
	m.Signals = signals
	stdout := &sink{then: func() { signals <- syscall.SIGQUIT }}
	var all, stderr bytes.Buffer
	status, err := Run(t.Context(), m, []string{"sh", "-c", `trap 'echo stacks; exit 7' QUIT; echo begun; sleep 100000; echo woken`},
		io.MultiWriter(&all, stdout), &stderr)
	if err != nil || status != 7 || all.String() != "begun\nstacks\n" {
		t.Errorf("status %d, %q, %q, %v", status, &all, &stderr, err)
	}
}

// readFunc reads by a function.
type readFunc func([]byte) (int, error)

func (f readFunc) Read(b []byte) (int, error) { return f(b) }

// TestPulse: what counts is how long the guest is waited for.
func TestPulse(t *testing.T) {
	for _, c := range []struct {
		name          string
		every, taking time.Duration // between what the guest says, and to take that
		ends          bool
	}{
		{"slow", 14 * time.Minute, 0, false},
		{"slowly read", time.Second, 10 * time.Hour, false},
		{"silent", 100 * time.Hour, 0, true},
		{"late", 15*time.Minute + 30*time.Second, 0, false}, // after SIGQUIT
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, end := context.WithCancelCause(t.Context())
				defer end(nil)
				stop := make(chan struct{})
				p := newPulse(readFunc(func(b []byte) (int, error) {
					time.Sleep(c.every)
					return 1, nil
				}))
				m := Machine{Stall: 15 * time.Minute}
				signals := make(chan os.Signal)
				asked := 0
				go func() {
					for range signals {
						asked++
					}
				}()
				go m.watchPulse(p, signals, stop, end)
				began := time.Now()
				for range 20 {
					_, _ = p.Read(nil)
					time.Sleep(c.taking)
				}
				close(stop)
				synctest.Wait()
				close(signals)
				if ended := context.Cause(ctx) != nil; ended != c.ends {
					t.Errorf("ended: %t, %v", ended, context.Cause(ctx))
				}
				if want := c.every > 15*time.Minute; (asked > 0) != want {
					t.Errorf("asked %d times in %v", asked, time.Since(began))
				}
			})
		})
	}
}
