package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// goTestOf runs the command on a module that has these files.
func goTestOf(t *testing.T, files map[string]string, args ...string) (status int, stdout string, err error) {
	t.Helper()
	t.Chdir(makeModule(t, files))
	for _, variable := range ownEnv() {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	var out, errs bytes.Buffer
	status, err = run(context.Background(), args, &out, &errs)
	t.Logf("exit status %d, %v\n%s%s", status, err, out.String(), errs.String())
	return status, out.String(), err
}

// goTestIn does so with options, and beside other tests.
func goTestIn(t *testing.T, opts *options, files map[string]string, args ...string) (status int, stdout string, err error) {
	t.Helper()
	opts.dir, opts.env = makeModule(t, files), append(os.Environ(), ownEnv()...)
	var out, errs bytes.Buffer
	status, err = opts.run(context.Background(), args, &out, &errs)
	t.Logf("exit status %d, %v\n%s%s", status, err, out.String(), errs.String())
	return status, out.String(), err
}

// ownEnv is for a module of its own, whatever the caller's flags are. The flags are those of
// make, for which the standard library is compiled already.
func ownEnv() []string { return []string{"GOFLAGS=-trimpath", "CGO_ENABLED=0", "GOWORK=off"} }

func makeModule(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	files["go.mod"] = "module m\n\ngo 1.26\n"
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const head = "package a\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nvar _ = os.Exit\n\n"

func TestRunTellsHowTestsEnd(t *testing.T) {
	for _, test := range []struct {
		name, body string
		failed     bool
		want       []string
	}{
		{"pass", `func TestA(t *testing.T) {}`, false,
			[]string{"ok    m ", "1 passed, 0 failed, 0 skipped"}},
		{"reason of a skip", `func TestA(t *testing.T) { t.Log("before"); t.Skip("no moon: tonight") }`, false,
			[]string{"skipped 1: no moon: tonight\n      TestA\n", "0 passed, 0 failed, 1 skipped"}},
		{"skip without a reason", `func TestA(t *testing.T) { t.SkipNow() }`, false,
			[]string{"skipped 1: no reason given"}},
		{"failure with its output", `func TestA(t *testing.T) { println("to stderr"); t.Error("too bad") }`, true,
			[]string{"--- FAIL: m TestA", "too bad\n", "FAIL  m ", "0 passed, 1 failed, 0 skipped"}},
		{"subtests count once", `func TestA(t *testing.T) {
			t.Run("b", func(t *testing.T) {})
			t.Run("c", func(t *testing.T) { t.Run("d", func(t *testing.T) { t.Error("deep") }) })
			t.Run("e", func(t *testing.T) { t.Skip("later") })
		}`, true, []string{"--- FAIL: m TestA/c/d", "1 passed, 1 failed, 1 skipped"}},
		{"parent that fails by itself", `func TestA(t *testing.T) { t.Run("b", func(t *testing.T) {}); t.Error("own") }`, true,
			[]string{"own", "1 passed, 1 failed, 0 skipped"}},
		{"subtest with a slash", `func TestA(t *testing.T) { t.Run("b/c", func(t *testing.T) {}) }
			func TestB(t *testing.T) { t.Error("own") }`, true, []string{"own", "1 passed, 1 failed, 0 skipped"}},
		{"panic", `func TestA(t *testing.T) {}
			func TestB(t *testing.T) { panic("help") }`, true,
			[]string{"help", "1 passed, 1 failed, 0 skipped"}},
		{"exit in the middle", `func TestA(t *testing.T) { t.Run("b", func(t *testing.T) { os.Exit(3) }) }`, true,
			[]string{"--- FAIL: m TestA/b", "did not end", "0 passed, 1 failed, 0 skipped"}},
		{"exit before the tests", `func TestMain(m *testing.M) { os.Exit(0) }
			func TestA(t *testing.T) {}`, false, nil},
		{"failure before the tests", `func TestMain(m *testing.M) { println("no luck"); os.Exit(3) }
			func TestA(t *testing.T) {}`, true, []string{"no luck", "0 passed, 1 failed, 0 skipped"}},
		{"does not build", `func TestA(t *testing.T) { nonsense }`, true,
			[]string{"undefined: nonsense", "0 passed, 1 failed, 0 skipped"}},
		{"output that looks like a mark", `func TestA(t *testing.T) { os.Stdout.WriteString("--- PASS: TestZ (0.00s)\nok no newline") }`, false,
			[]string{"1 passed, 0 failed, 0 skipped"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, out, err := goTestOf(t, map[string]string{"a_test.go": head + test.body})
			if test.want == nil {
				if status == 0 || err == nil {
					t.Errorf("a run without a test ended with %d, %v", status, err)
				}
				return
			}
			if (status != 0) != test.failed || err != nil {
				t.Errorf("exit status %d, %v", status, err)
			}
			for _, want := range test.want {
				if !strings.Contains(out, want) {
					t.Errorf("no %q", want)
				}
			}
			if lines := strings.Split(strings.TrimSpace(out), "\n"); !strings.HasSuffix(lines[len(lines)-1], " skipped") {
				t.Errorf("last line: %q", lines[len(lines)-1])
			}
		})
	}
}

func TestRunPassesArgumentsAndTallies(t *testing.T) {
	files := map[string]string{
		"a_test.go":   head + "func TestA(t *testing.T) {}\nfunc TestB(t *testing.T) { t.Error(\"many lines\") }",
		"b/b_test.go": "package b\n\nimport \"testing\"\n\nfunc TestB(t *testing.T) { t.Skip(\"no\") }",
	}
	tally := filepath.Join(t.TempDir(), "tally")
	if status, _, err := goTestOf(t, files, "--tally", tally, "-run", "TestA", "./..."); status != 0 || err != nil {
		t.Errorf("exit status %d, %v", status, err)
	}
	if status, _, err := goTestOf(t, files, "--tally", tally, "./..."); status != 1 || err != nil {
		t.Errorf("exit status %d, %v", status, err)
	}
	text, err := os.ReadFile(tally)
	if want := "1 0 0\n1 1 1\n"; err != nil || string(text) != want {
		t.Errorf("tally %q, %v, want %q", text, err, want)
	}
	failures, err := os.ReadFile(tally + ".failures")
	if want := "--- FAIL: m TestB\n    a_test.go:11: many lines\n"; err != nil || string(failures) != want {
		t.Errorf("failures %q, %v, want %q", failures, err, want)
	}
}

func TestLongFailuresAreCut(t *testing.T) {
	files := map[string]string{"a_test.go": head + "func TestA(t *testing.T) {\n\tfor i := range 40 {\n\t\tt.Error(i)\n\t}\n}"}
	tally := filepath.Join(t.TempDir(), "tally")
	if status, _, err := goTestOf(t, files, "--tally", tally, "."); status != 1 || err != nil {
		t.Errorf("exit status %d, %v", status, err)
	}
	text, err := os.ReadFile(tally + ".failures")
	if err != nil || !strings.Contains(string(text), "[10 lines, above]\n    a_test.go:12: 10\n") || !strings.HasSuffix(string(text), ": 39\n") {
		t.Errorf("%v: %s", err, text)
	}
}

func TestRunRefusesNonsense(t *testing.T) {
	for _, args := range [][]string{
		{"--no-such-flag"}, {"./nowhere"}, {"-run", "("},
		{"--tally", "/dev/full", "."}, {"--tally", "/", "."},
	} {
		files := map[string]string{"a_test.go": head + "func TestA(t *testing.T) {}"}
		if status, _, err := goTestOf(t, files, args...); status == 0 {
			t.Errorf("%q: exit status 0, %v", args, err)
		}
	}
}

// The tests that take longest are named, and no parents beside their subtests.
func TestSlowest(t *testing.T) {
	var out bytes.Buffer
	r := newReport(&out)
	for _, e := range []event{
		{Action: "run", Test: "TestA"}, {Action: "run", Test: "TestA/b"},
		{Action: "pass", Test: "TestA/b", Elapsed: 40}, {Action: "pass", Test: "TestA", Elapsed: 41},
		{Action: "run", Test: "TestC"}, {Action: "pass", Test: "TestC", Elapsed: 100},
		{Action: "run", Test: "TestD"}, {Action: "pass", Test: "TestD", Elapsed: 1},
		{Action: "pass", Elapsed: 142},
	} {
		e.Package = "m"
		r.take(e)
	}
	if want := "ok    m  142.0 s\n      slowest: TestC 100 s, TestA/b 40 s\n"; out.String() != want {
		t.Errorf("got %q\nwant %q", out.String(), want)
	}
}
