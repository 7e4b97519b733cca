package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRelease: two releases of one tree, at two places, in two time zones and with two umasks, are the same to the byte, and have
// all that a release consists of.
func TestRelease(t *testing.T) {
	if os.Getenv("KMODTRACE_MACHINES") == "" {
		t.Skip("builds for minutes: scripts/lab-tests amd64/6.12/shop")
	}
	first, second := releaseOf(t, "one", "umask 022; TZ=UTC"), releaseOf(t, "two/deeper", "umask 077; TZ=Asia/Kolkata LC_ALL=C.UTF-8")
	if first != second {
		t.Errorf("two releases of one tree differ:\n%s\n%s", first, second)
	}
	for _, part := range []string{
		"_amd64.deb", "_arm64.deb", ".x86_64.rpm", ".aarch64.rpm", "_x86_64.apk", "_aarch64.apk", "-x86_64.pkg.tar.zst", "-aarch64.pkg.tar.zst",
		"-linux-amd64", "-linux-arm64", "-linux-amd64.cdx.json", "-linux-arm64.cdx.json", "-image.tar", "-changes.md", ".tgz",
	} {
		if !strings.Contains(first+"\n", part+"\n") {
			t.Errorf("no %s in\n%s", part, first)
		}
	}
}

// releaseOf makes a release of a copy of the tree below a temporary directory, and gives the checksums.
func releaseOf(t *testing.T, at, environment string) string {
	t.Helper()
	tree := filepath.Join(t.TempDir(), at)
	script := environment + `; export TZ LC_ALL
set -e
mkdir -p "$1"
cp -r .git "$1"
git ls-files -z --cached --others --exclude-standard --deduplicate | tar --ignore-failed-read --null -T - -c | tar -x -C "$1"
"$1/scripts/release" >&2
cat "$1/dist/sha256sums"`
	c := exec.Command("bash", "-c", script, "release", tree)
	c.Dir = "../.."
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, os.Stdout
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out.String())
}

// TestChart: helm and the API's types take what the chart renders (packaging/tools/chart).
func TestChart(t *testing.T) {
	if os.Getenv("KMODTRACE_MACHINES") == "" {
		t.Skip("compiles helm: scripts/lab-tests amd64/6.12/shop")
	}
	c := exec.Command("go", "-C", "packaging/tools", "test", "-count=1", "./...")
	c.Dir = "../.."
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
