package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const needsShop = "boots machines of the lab: scripts/lab-tests amd64/6.12/shop"

// TestPackageBefore: the Debian package on the release before, and an upgrade to a newer one.
func TestPackageBefore(t *testing.T) {
	arch, series, ok := strings.Cut(os.Getenv("KMODTRACE_MACHINES"), "/")
	if !ok {
		t.Skip(needsShop)
	}
	dir := t.TempDir()
	deb, newer := filepath.Join(dir, "kmodtrace.deb"), filepath.Join(dir, "newer.deb")
	packaged(t, arch, "deb", "", deb)
	packaged(t, arch, "deb", "9999", newer)
	hello := filepath.Join(builtSpecimens(t, arch, series), "hello.ko")
	stepsInSystemd(t, arch, series, "systemd/bookworm", "", deb, newer, hello, "../../scripts/package-steps")
}

// TestPackagesOfOthers: rpm and pacman, as Debian has them, install, upgrade and remove their packages in a machine with systemd
// (scripts/package-others-steps).
func TestPackagesOfOthers(t *testing.T) {
	arch, series, ok := strings.Cut(os.Getenv("KMODTRACE_MACHINES"), "/")
	if !ok {
		t.Skip(needsShop)
	}
	dir := t.TempDir()
	files := make([]string, 0, 5)
	for _, p := range []struct{ format, version, name string }{
		{"rpm", "", "kmodtrace.rpm"}, {"rpm", "9999", "newer.rpm"},
		{"archlinux", "", "kmodtrace.pkg.tar.zst"}, {"archlinux", "9999", "newer.pkg.tar.zst"},
	} {
		file := filepath.Join(dir, p.name)
		packaged(t, arch, p.format, p.version, file)
		files = append(files, file)
	}
	disk := diskOf(t, "rpm and pacman", "rpm", "pacman-package-manager")
	stepsInSystemd(t, arch, series, "systemd", disk, append(files, "../../scripts/package-others-steps")...)
}

// TestPackageOfAlpine: no Debian has apk, so the package is read as apk reads it: signature apart, a control archive and one of
// files, one after the other.
func TestPackageOfAlpine(t *testing.T) {
	arch, _, ok := strings.Cut(os.Getenv("KMODTRACE_MACHINES"), "/")
	if !ok {
		t.Skip(needsShop)
	}
	apk := filepath.Join(t.TempDir(), "kmodtrace.apk")
	packaged(t, arch, "apk", "", apk)
	text, modes := membersOfAPK(t, content(t, apk))
	for name, mode := range map[string]int64{
		".PKGINFO": 0o600, ".post-upgrade": 0o755, ".pre-deinstall": 0o755, "usr/bin/kmodtrace": 0o755, "etc/init.d/kmodtrace": 0o755,
		"etc/kmodtrace/kmodtrace.yaml": 0o640, "etc/kmodtrace/rules.d/": 0o755, "usr/share/man/man8/kmodtrace-serve.8.gz": 0o644,
		"usr/share/bash-completion/completions/kmodtrace": 0o644, "usr/share/zsh/site-functions/_kmodtrace": 0o644,
		"usr/share/fish/vendor_completions.d/kmodtrace.fish": 0o644, "usr/share/licenses/kmodtrace/LICENSE": 0o644,
	} {
		if got, ok := modes[name]; !ok || got != mode {
			t.Errorf("%s: mode %#o, want %#o", name, got, mode)
		}
	}
	for name := range modes {
		if strings.Contains(name, "systemd") {
			t.Errorf("%s: Alpine has no systemd", name)
		}
	}
	info := strings.Split(text[".PKGINFO"], "\n")
	for _, line := range []string{"pkgname = kmodtrace", "arch = x86_64", "depend = kmod"} {
		if !slices.Contains(info, line) {
			t.Errorf("no %q in %q", line, text[".PKGINFO"])
		}
	}
	// busybox's sh is Alpine's.
	for _, name := range []string{".post-upgrade", ".pre-deinstall", "etc/init.d/kmodtrace"} {
		c := exec.Command("dash", "-n")
		c.Stdin = strings.NewReader(text[name])
		if out, err := c.CombinedOutput(); err != nil || text[name] == "" {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}

// membersOfAPK gives the small files of a package, and all modes.
func membersOfAPK(t *testing.T, data []byte) (text map[string]string, modes map[string]int64) {
	t.Helper()
	text, modes = make(map[string]string), make(map[string]int64)
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	// The control archive has no end of its own: together they are one archive.
	for in := tar.NewReader(z); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return text, modes
		}
		if err != nil {
			t.Fatal(err)
		}
		modes[h.Name] = h.Mode & 0o7777
		if h.Size < 1<<16 {
			all, err := io.ReadAll(in)
			if err != nil {
				t.Fatal(err)
			}
			text[h.Name] = string(all)
		}
	}
}
