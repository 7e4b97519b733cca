package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/lab"
)

// TestOrdinaryDay: what loads modules on a machine that nobody attacks raises no finding above info (scripts/day-steps).
func TestOrdinaryDay(t *testing.T) {
	arch, series, ok := strings.Cut(os.Getenv("KMODTRACE_MACHINES"), "/")
	if !ok {
		t.Skip("boots machines of the lab: scripts/lab-tests amd64/6.12/shop")
	}
	disk := diskOf(t, "programs of an ordinary day", "nftables", "xfsprogs", "dosfstools", "crun", "coreutils")
	deb, modules := filepath.Join(t.TempDir(), "kmodtrace.deb"), builtSpecimens(t, arch, series)
	packaged(t, arch, "deb", "", deb)
	stepsInSystemd(t, arch, series, "systemd", disk, deb, filepath.Join(modules, "hello.ko"), filepath.Join(modules, "nap1.ko"), "../../scripts/day-steps")
}

// diskOf makes a disk with programs of Debian's, and with what they depend on.
func diskOf(t *testing.T, what string, packages ...string) string {
	t.Helper()
	cache, err := lab.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	root, err := lab.Packages(t.Context(), cache, what, packages, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(t.TempDir(), "disk")
	if out, err := exec.Command("mke2fs", "-q", "-t", "ext4", "-d", root, disk, "400M").CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v: %s", err, out)
	}
	return disk
}
