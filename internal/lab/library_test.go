package lab

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// ldd is the loader's own answer.
func ldd(t *testing.T, program string) []string {
	t.Helper()
	out, err := exec.Command("ldd", program).CombinedOutput()
	if err != nil {
		t.Skipf("ldd %s: %v", program, err)
	}
	var paths []string
	for _, m := range regexp.MustCompile(`(/\S+) \(0x`).FindAllStringSubmatch(string(out), -1) {
		paths = append(paths, filepath.Base(m[1]))
	}
	slices.Sort(paths)
	return paths
}

func TestLibrariesAreTheLoaders(t *testing.T) {
	for _, name := range []string{"sh", "kmod", "ip", "bash", "gdb", "qemu-system-x86_64"} {
		t.Run(name, func(t *testing.T) {
			path, err := exec.LookPath(name)
			if err != nil {
				t.Skipf("no %s here", name)
			}
			found, err := newLibraries("/").of(path)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, lib := range found {
				got = append(got, filepath.Base(lib))
			}
			slices.Sort(got)
			got = slices.Compact(got)
			want := ldd(t, path)
			if p, err := readProgram(path); err == nil && len(p.opens) > 0 {
				got = slices.DeleteFunc(got, func(lib string) bool { return !slices.Contains(want, lib) }) // what it opens later, ldd does not know
			}
			if !slices.Equal(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}

func TestLibrariesOfWhatNeedsNone(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	truncated := filepath.Join(t.TempDir(), "truncated")
	if err := os.WriteFile(truncated, []byte("\x7fELF\x02\x01\x01"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{script, truncated, os.DevNull} {
		if got, err := newLibraries("/").of(name); err != nil || len(got) > 0 {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	if _, err := newLibraries("/").of("/nosuch"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such file: %v", err)
	}
}

// A root directory without a program's libraries has to name the one that lacks.
func TestMissingLibraryIsNamed(t *testing.T) {
	sh, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Skip(err)
	}
	data, err := os.ReadFile(sh)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "sh"), data, 0o755); err != nil {
		t.Fatal(err)
	}
	_, err = newLibraries(root).of("/sh")
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "libc.so.6") {
		t.Errorf("got %v", err)
	}
}

func TestLinksAreFollowedBelowTheRoot(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "usr/lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{
		"lib": "/usr/lib", "usr/lib/so": "so.1", "usr/lib/loop": "/lib/loop",
		"out": "../../../../etc", "usr/lib/up": "../../usr/lib/so.1",
	} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	l := newLibraries(root)
	for name, want := range map[string]string{
		"/lib/so":     "/usr/lib/so.1",
		"/lib/up":     "/usr/lib/so.1",
		"/out/passwd": "/etc/passwd",
		"/nosuch/x":   "/nosuch/x",
		"/":           "/",
	} {
		if got := l.host(name); got != filepath.Join(root, want) {
			t.Errorf("%s: got %s, want %s below the root", name, got, want)
		}
	}
	if got := l.host("/lib/loop"); !strings.HasPrefix(got, root) {
		t.Errorf("a link to itself: got %s", got)
	}
}

func TestLoaderConfigurationThatIncludesItself(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	conf := "include ld.so.*\n# comment\n\n/opt/lib # here\n"
	if err := os.WriteFile(filepath.Join(root, "etc/ld.so.conf"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	if l := newLibraries(root); !slices.Contains(l.directories, "/opt/lib") {
		t.Errorf("directories %v lack /opt/lib", l.directories)
	}
}
