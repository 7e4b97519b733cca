package kbuild

import (
	"os"
	"path/filepath"
	"testing"
)

func TestCompilerOf(t *testing.T) {
	for text, want := range map[string]compiler{
		"gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0":                  {"gcc-12", "gcc", "12"},
		"gcc-10 (Debian 10.2.1-6) 10.2.1 20210110":                  {"gcc-10", "gcc", "10"},
		"x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0":         {"x86_64-linux-gnu-gcc-14", "gcc", "14"},
		"x86_64-linux-gnu-gcc-13 (Ubuntu 13.2.0-23ubuntu4) 13.2.0":  {"x86_64-linux-gnu-gcc-13", "gcc", "13"},
		"gcc (GCC) 14.2.1 20240912 (Red Hat 14.2.1-3)":              {"gcc", "gcc", "14"},
		"gcc (SUSE Linux) 7.5.0":                                    {"gcc", "gcc", "7"},
		"gcc (Alpine 13.2.1_git20240309) 13.2.1 20240309":           {"gcc", "gcc", "13"},
		"clang version 18.1.8":                                      {"clang", "clang", "18"},
		"Ubuntu clang version 14.0.0-1ubuntu1.1, Ubuntu LLD 14.0.0": {"clang", "clang", "14"},
		"":                                     {"gcc", "gcc", ""},
		"/opt/cross/bin/gcc (crosstool) 9.3.0": {"gcc", "gcc", "9"},
	} {
		h := &Headers{Compiler: text, clang: want.family == "clang"}
		if got := compilerOf(h); got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
	if got := compilerOf(nil); got.program() != "gcc" {
		t.Errorf("without headers: %q", got.program())
	}
}

func TestFindTakesTheCompilerThatIsMostLikeTheKernels(t *testing.T) {
	want := compiler{command: "x86_64-linux-gnu-gcc-12", family: "gcc", major: "12"}
	for _, c := range []struct {
		want string
		here []string
	}{
		{"x86_64-linux-gnu-gcc-12", []string{"gcc", "gcc-12", "x86_64-linux-gnu-gcc-12"}},
		{"gcc-12", []string{"gcc", "gcc-12", "gcc-14"}},
		{"gcc", []string{"gcc", "gcc-14"}},
		{"gcc-14", []string{"gcc-9", "gcc-14", "gcc-ar-14", "gcc-nm"}},
		{"", []string{"gcc-ar-14", "clang"}},
		{"", nil},
	} {
		dir := t.TempDir()
		for _, name := range c.here {
			writeFile(t, filepath.Join(dir, name), "")
			if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if got := want.find(dir); got != c.want {
			t.Errorf("of %q: %q, want %q", c.here, got, c.want)
		}
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
