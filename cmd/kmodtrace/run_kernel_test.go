package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/kmodtrace/kmodtrace/internal/roles"
	"golang.org/x/sys/unix"
)

// TestRun: for whatever loads modules, or needs them, `run` reports the loads that
// the kernel's list of modules shows to have happened, and nothing of what others load
// and unload meanwhile. One `run` has them all, one after another, with fences between:
// what runs is a program that runs the others. How `run` passes on what a command has is
// testdata/kernel/run.txtar.
func TestRun(t *testing.T) {
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("loads modules into the kernel: runs only in a machine of the lab (kmodtrace lab exec)")
	}
	if err := roles.Install("kmodtrace", "steps", "login", "sudo", "loader", "opener", "contain"); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("/mnt", 0o755); err != nil {
		t.Fatal(err)
	}
	hello, nap := labModule("hello"), labModule("nap6")
	unload(t, []string{"hello", "dummy", "xfs", "vxlan", "af_alg"}) // an earlier test may have left some
	// The helper's configuration is for two processes that ask at once.
	writeConfig(t, "alias rtnl-link-kmtwo nap6\ninstall nap6 insmod "+nap+" ms=700\n")
	const container = "system.slice/docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope"
	cases := []struct {
		name    string
		command []string
		fails   bool
		asks    []string // must be among the requests; without any, there must be none
		may     string   // an action that some kernels see too
	}{
		{name: "insmod from a shell", command: []string{"sh", "-c", "insmod " + hello + "; exit $?"}},
		{name: "a user through sudo", command: []string{roles.Path("login"), "1000", roles.Path("sudo"), "insmod", hello}},
		{name: "a program that is gone at once", command: []string{roles.Path("loader"), hello}},
		{name: "mount", command: []string{"mount", "-t", "xfs", "none", "/mnt"}, fails: true, asks: []string{"fs-xfs"}},
		{name: "ip link", command: []string{"ip", "link", "add", "run0", "type", "dummy"}, asks: []string{"rtnl-link-dummy"}},
		{name: "an unprivileged user's socket", command: []string{roles.Path("login"), "65534", roles.Path("opener"), "38", "5", "0"}, asks: []string{"net-pf-38"}},
		{name: "modprobe with dependencies", command: []string{"modprobe", "vxlan"}},
		{name: "in a container", command: []string{roles.Path("contain"), container, "insmod", hello}},
		{name: "two at once", command: []string{"sh", "-c", "ip link add two0 type kmtwo & ip link add two1 type kmtwo & wait"}, asks: []string{"rtnl-link-kmtwo", "rtnl-link-kmtwo"},
			may: "load nap6 failed"}, // the second one's, where it does not share the first one's result
		{name: "nothing provides it", command: []string{"ip", "link", "add", "run1", "type", "nosuchkind"}, fails: true, asks: []string{"rtnl-link-nosuchkind"}},
	}
	traced := startSteps(t)
	traced.step([]string{"true"}) // it is attached then: beside the noise that takes three times as long
	defer noise(t)()
	came := make([][]string, len(cases))
	for i, c := range cases {
		before := modules(t)
		if failed := traced.step(c.command); failed != c.fails {
			t.Errorf("%s: %q failed: %t", c.name, c.command, failed)
		}
		for _, m := range modules(t) {
			if !slices.Contains(before, m) {
				came[i] = append(came[i], m)
			}
		}
		unload(t, came[i])
	}
	said := traced.end()
	if len(said) != 1+len(cases) {
		t.Fatalf("%d steps are reported, of %d", len(said), 1+len(cases))
	}
	said = said[1:]
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			said := said[i]
			if diff := gocmp.Diff(came[i], slices.Compact(slices.Sorted(slices.Values(said.loads)))); diff != "" {
				t.Errorf("loads (-happened +reported):\n%s", diff)
			}
			if len(c.asks) == 0 && len(said.asks) > 0 {
				t.Errorf("requests %q", said.asks)
			}
			for _, alias := range c.asks {
				i := slices.Index(said.asks, alias)
				if i < 0 {
					t.Errorf("no request for %s among %q", alias, said.asks)
					continue
				}
				said.asks = slices.Delete(said.asks, i, i+1)
			}
			for _, other := range said.others {
				if other != c.may {
					t.Errorf("reported too: %s", other)
				}
			}
		})
	}
}

// stepFence is the name that a step ends with an unload of, which the kernel refuses.
const stepFence = "step_ends"

// steps is the program that runs the commands in its input, a JSON array a line. After
// each it makes a fence and prints whether the command failed.
func steps() {
	input := json.NewDecoder(os.Stdin)
	for {
		var argv []string
		if err := input.Decode(&argv); err != nil {
			os.Exit(0)
		}
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Stderr = os.Stderr
		failed := cmd.Run() != nil
		err := error(unix.EINTR) // by the Go runtime's own signals
		for err == unix.EINTR {
			err = unix.DeleteModule(stepFence, unix.O_NONBLOCK)
		}
		fmt.Println(failed)
	}
}

// tracedSteps is a `run` of steps.
type tracedSteps struct {
	t        *testing.T
	cmd      *exec.Cmd
	report   string
	commands io.WriteCloser
	answers  *bufio.Scanner
	errs     bytes.Buffer
}

func startSteps(t *testing.T) *tracedSteps {
	t.Helper()
	s := &tracedSteps{t: t, report: filepath.Join(t.TempDir(), "report.json")}
	s.cmd = exec.Command(roles.Path("kmodtrace"), "run", "--json", "--pending-after", "0", "--output", s.report, "--", roles.Path("steps"))
	s.cmd.Stderr = &s.errs
	var err error
	if s.commands, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.answers = bufio.NewScanner(out)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	return s
}

// step has a command run, and tells whether it failed.
func (s *tracedSteps) step(command []string) (failed bool) {
	s.t.Helper()
	if err := json.NewEncoder(s.commands).Encode(command); err != nil {
		s.t.Fatal(err)
	}
	if !s.answers.Scan() {
		s.commands.Close()
		s.t.Fatalf("%q: no answer: %v: %s", command, errors.Join(s.answers.Err(), s.cmd.Wait()), s.errs.Bytes())
	}
	return s.answers.Text() == "true"
}

// activity is what `run` reported.
type activity struct{ loads, asks, others []string }

// end gives what was reported of each step. To which one an action belongs is by the time
// of its beginning, because some are reported later than they end.
func (s *tracedSteps) end() (said []activity) {
	s.t.Helper()
	s.commands.Close()
	if err := s.cmd.Wait(); err != nil {
		s.t.Fatalf("%v: %s", err, s.errs.Bytes())
	}
	data, err := os.ReadFile(s.report)
	if err != nil {
		s.t.Fatal(err)
	}
	type action struct {
		Action, Module, Outcome string
		ErrnoName               string `json:"errno_name"`
		Start                   int64  `json:"start_boottime_ns,string"`
	}
	var all []action
	for line := range bytes.Lines(data) {
		var a action
		if err := json.Unmarshal(line, &a); err != nil {
			s.t.Fatal(err)
		}
		all = append(all, a)
	}
	slices.SortStableFunc(all, func(a, b action) int { return cmp.Compare(a.Start, b.Start) })
	var step activity
	for _, a := range all {
		switch {
		case a.Module == stepFence && a.ErrnoName == "EINTR":
		case a.Module == stepFence:
			said, step = append(said, step), activity{}
		case a.Action == "load" && a.Outcome == "live":
			step.loads = append(step.loads, a.Module)
		case a.Action == "request":
			step.asks = append(step.asks, a.Module)
		default:
			step.others = append(step.others, strings.Join([]string{a.Action, a.Module, a.Outcome}, " "))
		}
	}
	if len(step.loads)+len(step.asks)+len(step.others) > 0 {
		s.t.Errorf("reported after the last step: %+v", step)
	}
	return said
}

// modules lists what is loaded, but for the noise, in order.
func modules(t *testing.T) (names []string) {
	t.Helper()
	text, err := os.ReadFile("/proc/modules")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if name, _, _ := strings.Cut(line, " "); name != "nap5" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// unload removes those modules that are loaded, each when nothing uses it any more.
func unload(t *testing.T, names []string) {
	t.Helper()
	// Most are not, and a run of rmmod for each name costs more than most tests do.
	for range names {
		for _, name := range loadedOf(t, names) {
			_ = exec.Command("rmmod", name).Run()
		}
	}
	if left := loadedOf(t, names); len(left) > 0 {
		t.Fatalf("%q stay", left)
	}
}

// loadedOf gives those of the names that are loaded.
func loadedOf(t *testing.T, names []string) []string {
	t.Helper()
	return slices.DeleteFunc(modules(t), func(name string) bool { return !slices.Contains(names, name) })
}

// noise loads and unloads a module, and asks for one, until it is stopped.
func noise(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if text, err := exec.Command("insmod", labModule("nap5"), "ms=1").CombinedOutput(); err != nil {
				t.Errorf("noise: %v\n%s", err, text)
			}
			_ = exec.Command("rmmod", "nap5").Run()
			_ = exec.Command("ip", "link", "add", "noise0", "type", "noisething").Run()
			time.Sleep(100 * time.Millisecond) // or the guest has no time for anything else
		}
	}()
	return func() { cancel(); <-done }
}

func labModule(name string) string {
	return filepath.Join(os.Getenv("KMODTRACE_MODULES"), name+".ko")
}

// writeConfig adds to the configuration of modprobe, for the time of the test.
func writeConfig(t *testing.T, text string) {
	t.Helper()
	const file = "/etc/modprobe.d/run.conf"
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(file) })
}
