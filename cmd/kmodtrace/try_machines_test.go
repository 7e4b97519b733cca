package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/dev"
	"github.com/kmodtrace/kmodtrace/internal/lab"
	"github.com/kmodtrace/kmodtrace/internal/trial"
	"github.com/kmodtrace/kmodtrace/kmod"
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
		"entries":   {"leaky.ko what=entries -n 2", trial.Leaking, []string{"not loaded in round 2"}},
		"reference": {"leaky.ko what=reference -n 1", trial.Stuck, []string{"reference"}},
		"refcount":  {"overput.ko -n 1", trial.Stuck, []string{"overput could not be unloaded in round 1", "refcount-negative"}},
		"warning":   {"leaky.ko what=warning -n 1", trial.Warned, []string{"leaky_init", "leaky.c:"}},
		"panic":     {"leaky.ko what=panic -n 1", trial.Panicked, []string{"told to panic", "leaky_init", "leaky.c:"}},
		"no memory": {"hostile.ko what=memory -n 1", trial.Starved, []string{"invoked oom-killer", "hostile_init"}},
		"port":      {"hostile.ko what=port -n 1", trial.HungUp, []string{"what the machine sent", "load of hostile"}},
		"killed":    {"hostile.ko what=kill -n 1", trial.HungUp, []string{"status 137", "load of hostile"}},
		"forged":    {"hostile.ko what=forge -n 1", trial.HungUp, []string{"without a report of each load"}},
		"endless":   {"hostile.ko what=print -n 1 -- sleep 5", "", nil}, // whatever it comes to
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
			if name == "endless" {
				if len(r.Messages) > 2000 || r.MessagesLeftOut == 0 {
					t.Errorf("%d messages, and %d left out", len(r.Messages), r.MessagesLeftOut)
				}
				return
			}
			if name == "no memory" && r.Verdict == trial.Panicked && strings.Contains(r.Why, "deadlocked on memory") {
				return // where nobody was left to be killed
			}
			if r.Verdict != c.verdict || (status == 0) != (c.verdict == trial.Passed) {
				t.Errorf("%s (status %d): %s; want %s", r.Verdict, status, r.Why, c.verdict)
			}
			for _, want := range c.why {
				if !strings.Contains(r.Why, want) {
					t.Errorf("no %q in %q", want, r.Why)
				}
			}
			if name == "entries" {
				for _, want := range []string{"/proc/leaky", "/sys/kernel/leaky", "/sys/kernel/debug/leaky"} {
					if r.Left == nil || !slices.Contains(r.Left.Entries, want) {
						t.Errorf("no %s in %+v", want, r.Left)
					}
				}
			}
			if r.Verdict == trial.Passed && (r.Rounds != 2 || r.Left == nil || len(r.Modules) != 2 || len(r.Modules[1].Stages) < 5 || r.Command.Runs != 2) {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestTryBefore: with `dev --try` a copy passes a machine first, and one that does not is
// told why. (dev itself traces this machine's kernel, which has not got to be possible.)
func TestTryBefore(t *testing.T) {
	arch, series, ok := strings.Cut(os.Getenv("KMODTRACE_MACHINES"), "/")
	if !ok {
		t.Skip("boots machines of the lab: scripts/lab-tests amd64/6.12/machines")
	}
	program, err := filepath.Abs("../../bin/kmodtrace")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("KMODTRACE_GUEST", program)
	dir := builtSpecimens(t, arch, series)
	for name, c := range map[string]struct {
		file, param, says string
		passes            bool
	}{
		"good":    {"hello.ko", "whom=Ann", "tried in a machine: passed", true},
		"refused": {"refuse.ko", "err=5", "it does not come into this kernel: ", false},
		"no file": {"nosuch.ko", "x=1", "it could not be tried: ", false},
	} {
		t.Run(name, func(t *testing.T) {
			var screen bytes.Buffer
			d := dev.NewLoop(&dev.Options{Params: kmod.Params{c.param}, Try: true}, nil, nil, &screen)
			if got := d.Passes(t.Context(), filepath.Join(dir, c.file)); got != c.passes || !strings.Contains(screen.String(), c.says) {
				t.Errorf("passes: %t, want %t, and %q:\n%s", got, c.passes, c.says, screen.String())
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
	for _, source := range []string{"lab/specimens/crash.c", "lab/specimens/leaky.c", "trial/testdata/hostile/hostile.c"} {
		build.Args = append(build.Args, filepath.Join("../../internal", source))
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
