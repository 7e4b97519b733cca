package main

import (
	"bytes"
	"io"
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
	packaged(t, arch, "deb", "", deb)
	again := filepath.Join(dir, "again.deb")
	packaged(t, arch, "deb", "", again)
	if a, b := content(t, deb), content(t, again); !bytes.Equal(a, b) {
		t.Errorf("two packages of one tree differ: %d and %d bytes", len(a), len(b))
	}
	hello := filepath.Join(builtSpecimens(t, arch, series), "hello.ko")
	stepsInSystemd(t, arch, series, "systemd", "", deb, hello, "../../scripts/package-steps")
}

// stepsInSystemd runs the last of the files in a Debian system with all of them, and with a disk if it is given one. The steps
// say "nothing" at their end: what they left, or found.
func stepsInSystemd(t *testing.T, arch, series, system, disk string, files ...string) {
	t.Helper()
	args := []string{"lab", "run", "--init", system, "--kernel", series, "--arch", arch, "--timeout", "0", "--append", withoutUnits()}
	if disk != "" {
		args = append(args, "--disk", disk)
	}
	for _, file := range files {
		args = append(args, "--add", file)
	}
	c := exec.Command("../../bin/kmodtrace", append(args, "--", filepath.Base(files[len(files)-1]))...)
	var out bytes.Buffer
	c.Stdout = io.MultiWriter(os.Stdout, &out) // at once: a test that is silent for long is taken for one that hangs
	c.Stderr = c.Stdout
	if err := c.Run(); err != nil || !strings.HasSuffix(strings.TrimSpace(out.String()), "nothing") {
		t.Error(err)
	}
}

// withoutUnits is the part of a command line that has systemd leave out what the package has nothing
// to do with, and which takes an emulated machine a third of its boot.
func withoutUnits() string {
	units := []string{
		"ldconfig.service", "systemd-journal-catalog-update.service", "systemd-update-done.service", "systemd-random-seed.service",
		"systemd-udev-trigger.service", "modprobe@drm.service", "modprobe@efi_pstore.service", "modprobe@fuse.service",
		"dev-hugepages.mount", "dev-mqueue.mount",
	}
	return "systemd.mask=" + strings.Join(units, " systemd.mask=")
}

// packaged makes a package, of another version than the tree's if one is given.
func packaged(t *testing.T, arch, format, version, to string) {
	t.Helper()
	c := exec.Command("../../scripts/package", arch, format)
	c.Env = append(os.Environ(), "PACKAGE_VERSION="+version)
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
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
