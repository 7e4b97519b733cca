package main

import (
	"bytes"
	"io"
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
	cache, err := lab.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	programs := []string{"nftables", "xfsprogs", "dosfstools", "crun", "coreutils"}
	root, err := lab.Packages(t.Context(), cache, "programs of an ordinary day", programs, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	disk, deb, modules := filepath.Join(t.TempDir(), "disk"), filepath.Join(t.TempDir(), "kmodtrace.deb"), builtSpecimens(t, arch, series)
	if out, err := exec.Command("mke2fs", "-q", "-t", "ext4", "-d", root, disk, "400M").CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v: %s", err, out)
	}
	packaged(t, arch, deb)
	c := exec.Command("../../bin/kmodtrace", "lab", "run", "--init", "systemd", "--kernel", series, "--arch", arch, "--timeout", "0",
		"--append", withoutUnits(), "--disk", disk, "--add", deb, "--add", filepath.Join(modules, "hello.ko"), "--add", filepath.Join(modules, "nap1.ko"),
		"--add", "../../scripts/day-steps", "--", "day-steps")
	var out bytes.Buffer
	c.Stdout = io.MultiWriter(os.Stdout, &out) // at once: see TestPackage
	c.Stderr = c.Stdout
	if err := c.Run(); err != nil || !strings.HasSuffix(strings.TrimSpace(out.String()), "nothing") {
		t.Error(err)
	}
}
