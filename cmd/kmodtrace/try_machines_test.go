package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/lab"
	"github.com/kmodtrace/kmodtrace/internal/trial"
)

// tried runs the program that a guest has too: this test cannot be one's first process.
func tried(t *testing.T, args ...string) (*trial.Report, int) {
	t.Helper()
	var out, errs bytes.Buffer
	c := exec.Command("../../bin/kmodtrace", append([]string{"try", "--json"}, args...)...)
	c.Stdout, c.Stderr = &out, &errs
	_ = c.Run()
	r := new(trial.Report)
	if err := json.Unmarshal(out.Bytes(), r); err != nil {
		t.Fatalf("%q: %v; it said %s", args, err, errs.String())
	}
	if err := validateText("trial", out.Bytes()); err != nil {
		t.Error(err)
	}
	return r, c.ProcessState.ExitCode()
}

// TestTry: modules that do each kind of harm get the verdict that they deserve, and the
// line that did it is named.
func TestTry(t *testing.T) {
	arch, series, ok := strings.Cut(os.Getenv("KMODTRACE_MACHINES"), "/")
	if !ok {
		t.Skip("boots machines of the lab: scripts/lab-tests amd64/6.12/machines")
	}
	dir, others := withLines(t, arch, series), builtSpecimens(t, arch, series)
	for name, c := range map[string]struct {
		args    string
		verdict trial.Verdict
		why     []string // that the sentence has
	}{
		"good":      {"base.ko user.ko -n 2 -- sh -c 'grep -q user /proc/modules'", trial.Passed, nil},
		"command":   {"base.ko -n 1 -- false", trial.Failing, []string{"exit status 1"}},
		"refused":   {"refuse.ko err=5 -n 1", trial.NotLive, []string{"EIO"}},
		"crash":     {"crash.ko -n 1", trial.Crashed, []string{"NULL pointer", "crash_init", "crash.c:"}},
		"exit":      {"slowexit.ko ms=1000000 -n 1 --patience 6s", trial.HungUp, []string{"unload of slowexit"}},
		"init":      {"nap0.ko ms=1000000 -n 1 --patience 6s", trial.HungUp, []string{"load of nap0", "init"}},
		"slab":      {"leaky.ko what=slab -n 2", trial.Leaking, []string{"leak_slab", "leaky.c:"}},
		"vmalloc":   {"leaky.ko what=vmalloc -n 2", trial.Leaking, []string{"leak_vmalloc", "leaky.c:"}},
		"proc":      {"leaky.ko what=proc -n 2", trial.Leaking, []string{"leaky_init", "and 1 other thing", "not loaded in round 2"}},
		"reference": {"leaky.ko what=reference -n 1", trial.Stuck, []string{"reference"}},
		"warning":   {"leaky.ko what=warning -n 1", trial.Warned, []string{"leaky_init", "leaky.c:"}},
		"panic":     {"leaky.ko what=panic -n 1", trial.Panicked, []string{"told to panic", "leaky_init", "leaky.c:"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := shellWords(c.args)
			for i, a := range args {
				if !strings.HasSuffix(a, ".ko") {
					continue
				}
				args[i] = filepath.Join(dir, a)
				if _, err := os.Stat(args[i]); err != nil {
					args[i] = filepath.Join(others, a)
				}
			}
			r, status := tried(t, args...)
			if r.Verdict != c.verdict || (status == 0) != (c.verdict == trial.Passed) {
				t.Errorf("%s (status %d): %s; want %s", r.Verdict, status, r.Why, c.verdict)
			}
			for _, want := range c.why {
				if !strings.Contains(r.Why, want) {
					t.Errorf("no %q in %q", want, r.Why)
				}
			}
			if r.Verdict == trial.Passed && (r.Rounds != 2 || r.Left == nil || len(r.Modules) != 2 || len(r.Modules[1].Stages) < 5 || r.Command.Runs != 2) {
				t.Errorf("%+v", r)
			}
		})
	}
}

// withLines builds those of the specimens that are asked for a line: the others carry no
// debug information.
func withLines(t *testing.T, arch, series string) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("../../bin/kmodtrace", "lab", "build", "--kernel", series, "--arch", arch, "--out", dir)
	for _, source := range []string{"crash.c", "leaky.c"} {
		build.Args = append(build.Args, filepath.Join("../../internal/lab/specimens", source))
	}
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir
}

func builtSpecimens(t *testing.T, arch, series string) string {
	t.Helper()
	cache, err := lab.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	k, err := lab.FindKernel(cache, series, arch)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(cache, "specimens", k.Arch, k.Release)
}

// shellWords splits at blanks, but not in quotes.
func shellWords(s string) (words []string) {
	for i, part := range strings.Split(s, "'") {
		if i%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words
}
