package proof_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/tracer"
	"golang.org/x/sys/unix"
)

// TestSession makes calls that a kernel takes and refuses, one after another in one Session.
func TestSession(t *testing.T) {
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("loads modules into the kernel: runs only in a machine of the lab (kmodtrace lab exec)")
	}
	modules := os.Getenv("KMODTRACE_MODULES")
	file := func(name string) string { return filepath.Join(modules, name+".ko") }
	s, err := proof.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"user", "base", "hello", "refuse"} { // earlier tests may have left them
		_ = kmod.Unload(t.Context(), name, nil)
	}
	load := func(path string, params ...string) (*proof.Result, error) {
		return s.Load(t.Context(), path, &kmod.LoadOptions{Params: params})
	}
	unload := func(name string) (*proof.Result, error) { return s.Unload(t.Context(), name, nil) }

	t.Run("confirmed", func(t *testing.T) {
		r, err := load(file("hello"), "whom=Bob")
		if err != nil || r.Verdict != proof.Confirmed || len(r.Actions) != 1 || !r.Actions[0].Proven() || r.Actions[0].Outcome != tracer.Live {
			t.Fatalf("%v: %+v", err, r)
		}
		// An answer that hides what the kernel did is found out.
		r, err = s.Call(t.Context(), tracer.Unload, "hello", func() error {
			_ = kmod.Unload(context.Background(), "hello", nil)
			return unix.EPERM
		})
		if !errors.Is(err, proof.ErrContradicted) || errors.Is(err, proof.ErrRefused) || len(r.Actions) != 1 || r.Actions[0].Outcome != tracer.Unloaded {
			t.Errorf("%v: %+v", err, r)
		}
	})
	t.Run("refused", func(t *testing.T) {
		r, err := load(file("refuse"), "err=19")
		if !errors.Is(err, proof.ErrRefused) || !errors.Is(err, unix.ENODEV) || r.ErrnoName != "ENODEV" || r.Cause != nil {
			t.Fatalf("%v: %+v", err, r)
		}
		s.Explain(t.Context(), r)
		if r.Cause == nil || r.Cause.Code != cause.InitRefused || r.Actions[0].Origin == nil {
			t.Errorf("explained as %v, from %+v", r.Cause, r.Actions[0].Origin)
		}
		if r, err = unload("refuse"); !errors.Is(err, kmod.ErrNotLoaded) || r.Verdict != proof.Refused {
			t.Errorf("%v: %+v", err, r)
		}
	})
	t.Run("in use", func(t *testing.T) {
		for _, name := range []string{"base", "user"} {
			if _, err := load(file(name)); err != nil {
				t.Fatal(err)
			}
		}
		if r, err := unload("base"); !errors.Is(err, kmod.ErrInUse) || r.ErrnoName != "EAGAIN" && r.ErrnoName != "EWOULDBLOCK" {
			t.Errorf("%v: %+v", err, r)
		}
		for _, name := range []string{"user", "base"} {
			if _, err := unload(name); err != nil {
				t.Error(err)
			}
		}
	})
	// What another thread does is not proof of a call that did nothing.
	t.Run("unconfirmed", func(t *testing.T) {
		r, err := s.Call(t.Context(), tracer.Load, "hello", func() error {
			done := make(chan error)
			go func() {
				_, err := kmod.Load(context.Background(), file("hello"), nil)
				done <- err
			}()
			return <-done
		})
		if !errors.Is(err, proof.ErrUnconfirmed) || len(r.Actions) != 0 {
			t.Errorf("%v: %+v", err, r)
		}
		if _, err := unload("hello"); err != nil { // the session goes on
			t.Error(err)
		}
	})
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := unload("hello"); !errors.Is(err, proof.ErrClosed) {
		t.Error(err)
	}
}
