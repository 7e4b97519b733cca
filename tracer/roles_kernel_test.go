package tracer_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/roles"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// TestMain lets the test program be the programs that it watches.
func TestMain(m *testing.M) {
	if play := roles.Commands()[filepath.Base(os.Args[0])]; play != nil {
		play()
	}
	tracer.KeepParsed()
	os.Exit(m.Run())
}

// installRoles gives the guest the programs of these names.
func installRoles(t *testing.T, names ...string) {
	t.Helper()
	if err := roles.Install(names...); err != nil {
		t.Fatal(err)
	}
}
