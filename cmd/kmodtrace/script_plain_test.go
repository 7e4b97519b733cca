//go:build !race

package main

import (
	"path/filepath"
	"testing"

	"github.com/kmodtrace/kmodtrace/tracer"
	"github.com/rogpeppe/go-internal/testscript"
)

// TestSequentialScripts runs those of testdata/script that TestScripts leaves out: three hundred
// commands, each a process that the race detector makes five times as slow.
func TestSequentialScripts(t *testing.T) {
	runScripts(t, func(name string) bool { return !isConcurrent(name) })
}

// TestUntraceable runs testdata/untraceable: what the commands say on a machine, or
// for a user, that cannot trace.
func TestUntraceable(t *testing.T) {
	if err := tracer.HaveTracing(); err == nil {
		t.Skip("tracing works here: the refusals of a kernel or user that cannot trace need another")
	}
	testscript.Run(t, testscript.Params{
		Dir:   filepath.Join("testdata", "untraceable"),
		Setup: addModules,
		Cmds:  map[string]func(*testscript.TestScript, bool, []string){"status": scriptStatus, "schema": kernelSchema},
	})
}
