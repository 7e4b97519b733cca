package main

import (
	"errors"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/cli"
)

func TestFailuresTakeTheWorstStatus(t *testing.T) {
	var f cli.Failures
	f.Add(nil)
	if f.Err() != nil {
		t.Error("no failure is an error")
	}
	f.Add(&exitError{status: exitRefused, err: errors.New("unload a: in use"), hint: "wait"})
	f.Add(&exitError{status: exitUnconfirmed, err: errors.New("unload b: not seen")})
	err := f.Err()
	if statusOf(err) != exitUnconfirmed || cli.HintOf(err) != "wait" || err.Error() != "unload a: in use\nkmodtrace: unload b: not seen" {
		t.Errorf("status %d, hint %q: %q", statusOf(err), cli.HintOf(err), err)
	}
}
