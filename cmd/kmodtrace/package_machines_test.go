package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPackage: the Debian package installs on a machine with systemd, its service records
// who loads a module, comes back when it is killed, and goes without a trace. The same
// commit makes the same package.
func TestPackage(t *testing.T) {
	arch, series, ok := strings.Cut(os.Getenv("KMODTRACE_MACHINES"), "/")
	if !ok {
		t.Skip("boots machines of the lab: scripts/lab-tests amd64/6.12/machines")
	}
	dir := t.TempDir()
	deb := filepath.Join(dir, "kmodtrace.deb")
	packaged(t, arch, deb)
	again := filepath.Join(dir, "again.deb")
	packaged(t, arch, again)
	if a, b := content(t, deb), content(t, again); !bytes.Equal(a, b) {
		t.Errorf("two packages of one tree differ: %d and %d bytes", len(a), len(b))
	}
	c := exec.Command("../../bin/kmodtrace", "lab", "run", "--init", "systemd", "--kernel", series, "--arch", arch, "--timeout", "15m",
		"--add", deb, "--add", filepath.Join(builtSpecimens(t, arch, series), "hello.ko"), "--add", "../../scripts/package-steps", "--", "package-steps")
	out, err := c.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !strings.HasSuffix(strings.TrimSpace(string(out)), "nothing") {
		t.Error(err)
	}
}

func packaged(t *testing.T, arch, to string) {
	t.Helper()
	var said bytes.Buffer
	c := exec.Command("../../scripts/deb", arch)
	c.Stderr = &said
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	if err := os.Rename(filepath.Join("../..", strings.TrimSpace(string(out))), to); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
