package holders_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// These tests load real modules into a real kernel: the lab's. Outside it they
// are skipped.
func inLab(t testing.TB) {
	t.Helper()
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("loads modules into the running kernel: runs in a machine of the lab (make test)")
	}
}

// specimen is the path of a test module.
func specimen(name string) string {
	return filepath.Join(os.Getenv("KMODTRACE_MODULES"), name+".ko")
}

func sh(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
