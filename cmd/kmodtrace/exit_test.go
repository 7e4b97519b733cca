package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/act"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/reload"
	"golang.org/x/sys/unix"
)

// TestStatuses: what the libraries' errors are worth, however they are wrapped.
func TestStatuses(t *testing.T) {
	refused := &proof.Error{Verdict: proof.Refused, Err: &kmod.Error{Op: "load", Module: "x", Err: unix.EIO}}
	for name, test := range map[string]struct {
		err  error
		want int
	}{
		"none":            {nil, exitOK},
		"any":             {errors.New("x"), exitRefused},
		"refused":         {refused, exitRefused},
		"not proven":      {&proof.Error{Verdict: proof.Unconfirmed, Err: unix.EIO}, exitUnconfirmed},
		"contradicted":    {&proof.Error{Verdict: proof.Contradicted, Err: unix.EIO}, exitUnconfirmed},
		"neither copy":    {reload.ErrDown, exitUnconfirmed},
		"though refused":  {errors.Join(refused, reload.ErrDown), exitUnconfirmed},
		"a command's own": {&exitError{status: exitLost, err: refused}, exitLost},
		"a bad name":      {&proof.Error{Verdict: proof.Refused, Err: kmod.ErrBadName}, exitRefused}, // of a file, not of the command line
	} {
		if test.err != nil {
			test.err = fmt.Errorf("wrapped: %w", test.err)
		}
		if got := statusOf(test.err); got != test.want {
			t.Errorf("%s: status %d, want %d", name, got, test.want)
		}
		if got := statusOf(act.Failure(test.err, "")); got != test.want {
			t.Errorf("%s: a failure has status %d, want %d", name, got, test.want)
		}
	}
	for err, want := range map[error]int{kmod.ErrBadName: exitUsage, kmod.ErrBadParams: exitUsage, kmod.ErrNotFound: exitRefused} {
		if got := statusOf(act.TargetError(&kmod.Error{Op: "load", Module: "x", Err: err})); got != want {
			t.Errorf("%v: status %d, want %d", err, got, want)
		}
	}
}
