package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRun: the same input gives the same bytes, whatever the times of its files, and tar reads all of the archive.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	var trees []string
	for _, arch := range []string{"amd64", "arm64"} {
		tree := filepath.Join(dir, arch)
		if err := os.MkdirAll(filepath.Join(tree, "usr/bin"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(tree, "usr/bin/kmodtrace"), bytes.Repeat([]byte(arch), 1000), 0o755); err != nil {
			t.Fatal(err)
		}
		trees = append(trees, arch+"="+tree)
	}
	var made [2][]byte
	for i := range made {
		out := filepath.Join(dir, "image.tar")
		if err := run(append([]string{"--version", "1.2.0", "--revision", "abc", "--epoch", "1700000000", "--out", out}, trees...)); err != nil {
			t.Fatal(err)
		}
		var err error
		if made[i], err = os.ReadFile(out); err != nil {
			t.Fatal(err)
		}
		if listed, err := exec.Command("tar", "-tf", out).CombinedOutput(); err != nil || !strings.Contains(string(listed), "index.json\n") || strings.Contains(string(listed), "tar:") {
			t.Errorf("%v: %s", err, listed)
		}
		later := time.Now().Add(time.Hour)
		if err := os.Chtimes(filepath.Join(dir, "amd64/usr/bin/kmodtrace"), later, later); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(made[0], made[1]) {
		t.Error("two images of one input differ")
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	common := []string{"--version", "1", "--revision", "a", "--epoch", "1", "--out", filepath.Join(dir, "x.tar")}
	for want, args := range map[string][]string{
		"want --version":         {"amd64=" + dir},
		"want ARCH=DIRECTORY":    append(common, dir),
		"neither a file nor a d": append(common, "amd64="+dir),
		"no such file":           append(common, "amd64="+dir+"/none"),
	} {
		if err := run(args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
}
