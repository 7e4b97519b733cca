package kbuild

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// fakeHeaders writes what headers say about themselves.
func fakeHeaders(t *testing.T, directory, release, version, compiler string) {
	t.Helper()
	generated := filepath.Join(directory, "include/generated")
	writeFile(t, filepath.Join(generated, "utsrelease.h"), "#define UTS_RELEASE \""+release+"\"\n")
	writeFile(t, filepath.Join(generated, "compile.h"), "/* x */\n#define UTS_MACHINE\t\t\"x86_64\"\n#define UTS_VERSION \""+version+"\"\n")
	writeFile(t, filepath.Join(generated, "autoconf.h"), "#define CONFIG_64BIT 1\n#define CONFIG_CC_VERSION_TEXT \""+compiler+"\"\n")
}

func TestHeadersAreFoundWhereDistributionsPutThem(t *testing.T) {
	for _, place := range []string{"lib/modules/6.1/build", "usr/src/linux-headers-6.1", "usr/src/kernels/6.1"} {
		root := t.TempDir()
		fakeHeaders(t, filepath.Join(root, place), "6.1", "#1 SMP", "gcc-12 (Debian 12.2.0-14) 12.2.0")
		h, err := system{root: root}.headers("6.1")
		if err != nil {
			t.Errorf("%s: %v", place, err)
			continue
		}
		if h.Release != "6.1" || h.Version != "#1 SMP" || h.clang || !strings.HasPrefix(h.Compiler, "gcc-12 ") {
			t.Errorf("%s: %+v", place, h)
		}
	}
	var missing *lacks
	if _, err := (system{root: t.TempDir()}).headers("6.1"); !errors.As(err, &missing) {
		t.Errorf("none: %v, want that they are missing", err)
	}
}

func TestHeadersThatAreNone(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "source/Kconfig"), "")
	writeFile(t, filepath.Join(dir, "other/README"), "")
	fakeHeaders(t, filepath.Join(dir, "my kernel"), "6.1", "", "gcc")
	for name, want := range map[string]string{
		"source": "modules_prepare", "other": "no kernel's headers", "my kernel": "blanks", "nosuch": "no such file",
	} {
		_, err := readHeaders(filepath.Join(dir, name))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", name, err, want)
		}
	}
	if _, err := readHeaders(filepath.Join(dir, "nosuch")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nosuch: %v, want fs.ErrNotExist", err)
	}
}

func TestMismatched(t *testing.T) {
	for _, c := range []struct{ headers, version, asked, release, running, want string }{
		{"6.1", "#1", "", "6.1", "#1", ""},
		{"6.1", "#1", "6.1", "6.1", "#1", ""},
		{"6.1", "", "", "6.1", "#1", ""},
		{"6.1", "#2", "", "6.1", "#1", "another build"},
		{"6.2", "#1", "", "6.1", "#1", "for kernel 6.2, not 6.1"},
		{"6.2", "#9", "6.2", "6.1", "#1", ""},
		{"6.2", "#9", "6.3", "6.1", "#1", "for kernel 6.2, not 6.3"},
	} {
		notes := mismatched(&Headers{Release: c.headers, Version: c.version}, c.asked, c.release, c.running)
		if got := strings.Join(notes, ";"); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
