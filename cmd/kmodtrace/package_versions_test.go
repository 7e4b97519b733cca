package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPackageVersions: of each commit, what each format of packages calls it. The order of the rows is that of the versions, as dpkg
// has it; those of rpm are the same, and pacman, apk and semantic versions have words of their own for before and after.
func TestPackageVersions(t *testing.T) {
	if _, err := exec.LookPath("dpkg"); err != nil {
		t.Skip("no dpkg to compare versions")
	}
	script, err := filepath.Abs("../../scripts/version")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	run := func(command string) string {
		t.Helper()
		c := exec.Command("bash", "-euc", command, "bash", script)
		c.Dir = dir
		c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", command, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	hash := regexp.MustCompile(`\bg?[0-9a-f]{7}\b`)
	run("git init -q .")
	before := ""
	for _, c := range []struct{ do, want string }{
		{"commit 1", "0~git20260101000000.H 0.git20260101000000.H 0_git20260101000000 0.0.0-0.git20260101000000.H"},
		{"commit 2", "0~git20260102000000.H 0.git20260102000000.H 0_git20260102000000 0.0.0-0.git20260102000000.H"},
		{"git tag v0.1", "0.1 0.1 0.1 0.1.0"},
		{"commit 3", "0.1+git20260103000000.H 0.1.git20260103000000.H 0.1_git20260103000000 0.1.1-0.git20260103000000.H"},
		{"git tag v1.2-rc1", "1.2~rc1 1.2rc1 1.2_rc1 1.2.0-rc1"},
		{"commit 4", "1.2~rc1+git20260104000000.H 1.2rc1.git20260104000000.H 1.2_rc1_git20260104000000 1.2.0-rc1.0.git20260104000000.H"},
		{"git tag v1.2", "1.2 1.2 1.2 1.2.0"},
		{"echo changed >file", "1.2+git20260104000000.H.changed 1.2.git20260104000000.H.changed 1.2_git20260104000000 1.2.1-0.git20260104000000.H.changed"},
		{"commit 5", "1.2+git20260105000000.H 1.2.git20260105000000.H 1.2_git20260105000000 1.2.1-0.git20260105000000.H"},
		{"git tag v1.2.1", "1.2.1 1.2.1 1.2.1 1.2.1"},
		{"commit 6; git tag v2", "2 2 2 2.0.0"},
	} {
		run(`commit() { echo $1 >file; git add file; GIT_COMMITTER_DATE=2026-01-0${1}T00:00:00Z git commit -qm $1; }; ` + c.do)
		all := run(`. "$1"; for format in deb archlinux apk semver; do version $format; echo; done; [ "$(version rpm)" = "$(version deb)" ]`)
		if got := hash.ReplaceAllString(strings.ReplaceAll(all, "\n", " "), "H"); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.do, got, c.want)
		}
		deb, _, _ := strings.Cut(all, "\n")
		// A changed tree has no commit of its own to be ordered by.
		if before != "" && !strings.HasPrefix(c.do, "echo") {
			if err := exec.Command("dpkg", "--compare-versions", before, "lt", deb).Run(); err != nil {
				t.Errorf("%s is not before %s", before, deb)
			}
			before = deb
		} else if before == "" {
			before = deb
		}
	}
}
