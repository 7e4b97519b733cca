package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/lab/guest"
)

// The test binary is also the first process of the guests that it boots, as
// kmodtrace is of its own, the hostile program in some of them, and a QEMU whose guest has
// taken it over.
func TestMain(m *testing.M) {
	if guest.IsInit() {
		guest.Init()
	}
	if what, ok := strings.CutPrefix(filepath.Base(os.Args[0]), fakePrefix); ok {
		fakeQEMU(what)
		os.Exit(0)
	}
	if os.Getenv("KMODTRACE_LAB") != "" && len(os.Args) == 3 && os.Args[1] == "hostile" {
		hostileProgram(os.Args[2])
		os.Exit(0)
	}
	os.Exit(m.Run())
}
