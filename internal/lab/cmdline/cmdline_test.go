package cmdline

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/lab"
)

func TestParseAdd(t *testing.T) {
	dir := t.TempDir()
	data, program := filepath.Join(dir, "a:b c.ko"), filepath.Join(dir, "prog")
	for name, mode := range map[string]os.FileMode{data: 0o644, program: 0o755} {
		if err := os.WriteFile(name, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	for _, c := range []struct {
		arg  string
		want lab.File
	}{
		{data, lab.File{Host: data, Guest: "/root/a:b c.ko"}},
		{data + ":/x", lab.File{Host: data, Guest: "/x"}},
		{data + ":/x/", lab.File{Host: data, Guest: "/x/a:b c.ko"}},
		{program, lab.File{Host: program, Guest: "/usr/local/bin/prog", Programs: true}},
		{program + ":/p", lab.File{Host: program, Guest: "/p", Programs: true}},
		{"prog", lab.File{Host: program, Guest: "/usr/local/bin/prog", Programs: true}}, // by PATH
		{dir + ":/d", lab.File{Host: dir, Guest: "/d"}},
	} {
		if got, err := parseAdd(c.arg, "/root"); err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v", c.arg, got, err)
		}
	}
	for _, arg := range []string{"", ":/x", "nosuch", "/nosuch:/x", strings.Repeat("x", 5000), "a\x00b"} {
		if got, err := parseAdd(arg, "/root"); err == nil {
			t.Errorf("%.20q: got %+v", arg, got)
		}
	}
}

func TestParseGet(t *testing.T) {
	for arg, want := range map[string]lab.Bring{
		"/x":       {Guest: "/x", Directory: "."},
		"/x y:out": {Guest: "/x y", Directory: "out"},
		"/x:/a:b":  {Guest: "/x", Directory: "/a:b"},
	} {
		if got, err := parseGet(arg); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", arg, got, err)
		}
	}
	for _, arg := range []string{"", "x", "x:/y", ":", ":/x", "/x:"} {
		if got, err := parseGet(arg); !errors.As(err, new(*cli.UsageError)) {
			t.Errorf("%q: got %+v, %v", arg, got, err)
		}
	}
}

func TestParseEnv(t *testing.T) {
	t.Setenv("HERE", "a=b")
	got, err := parseEnv([]string{"X=1", "Y=", "HERE", "NOT_HERE"})
	if diff := cmp.Diff([]string{"X=1", "Y=", "HERE=a=b"}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, arg := range []string{"", "=x", "a\x00=b"} {
		if got, err := parseEnv([]string{arg}); err == nil {
			t.Errorf("%q: got %q", arg, got)
		}
	}
}

func TestGuestDirectory(t *testing.T) {
	root := t.TempDir()
	deep := filepath.Join(root, "internal", "x")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	if got := guestDirectory(deep); got != "/src" {
		t.Errorf("outside of a module: %s", got)
	}
	if err := os.WriteFile(filepath.Join(root, "go.mod"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{deep: "/src/internal/x", root: "/src"} {
		if got := guestDirectory(dir); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestTestsTime: the user's --timeout comes first, then the test's own; without both there is no limit.
func TestTestsTime(t *testing.T) {
	for _, c := range []struct {
		args    string
		limited bool
		want    time.Duration
	}{
		{"x.test", false, 0},
		{"x.test -test.timeout=0s", false, 0},
		{"x.test -test.timeout=10m0s", false, 11 * time.Minute},
		{"x.test -test.timeout=0s -test.timeout=5m0s", false, 6 * time.Minute},
		{"x.test -test.timeout=10m0s", true, time.Hour},
		{"x.test", true, time.Hour},
	} {
		f := Machine{timeout: time.Hour}
		if err := f.placeTest(strings.Fields(c.args), c.limited); err != nil || f.timeout != c.want {
			t.Errorf("%s, limited %t: %v, %v, want %v", c.args, c.limited, f.timeout, err, c.want)
		}
	}
}

func TestCarryTest(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	m := lab.Machine{Dir: "/src/pkg"}
	argv, err := carryTest(&m, []string{"/b001/pkg.test", "-test.v", "-test.coverprofile=/w/c.out", "-test.outputdir=/w", "-test.gocoverdir=/w/d", "-test.trace=/dev/null", "x"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/src/bin/pkg.test", "-test.v", "-test.coverprofile=/tmp/c.out", "-test.outputdir=/tmp", "-test.gocoverdir=/tmp/d", "-test.trace=/dev/null", "x"}
	if diff := cmp.Diff(want, argv); diff != "" {
		t.Error(diff)
	}
	files := []lab.File{
		{Host: "/b001/pkg.test", Guest: "/src/bin/pkg.test", Programs: true},
		{Host: "testdata", Guest: "/src/pkg/testdata"},
		{Host: "/w/d", Guest: "/tmp/d"},
	}
	bring := []lab.Bring{{Guest: "/tmp/c.out", Directory: "/w", File: true}, {Guest: "/tmp/d", Directory: "/w", Add: "cov*.*"}}
	if diff := cmp.Diff(files, m.Files) + cmp.Diff(bring, m.Bring); diff != "" {
		t.Error(diff)
	}
}

func TestPassedVariables(t *testing.T) {
	got := passedVariables([]string{"HOME=/x", "KMODTRACE_BACKEND=kprobe", "KMODTRACE_CACHE=/c", "KMODTRACE_GUEST=/g", "KMODTRACE_LAB_ACCEL=tcg", "KMODTRACE_=x", "XKMODTRACE_A=1"})
	if diff := cmp.Diff([]string{"KMODTRACE_BACKEND=kprobe", "KMODTRACE_=x"}, got); diff != "" {
		t.Error(diff)
	}
}
