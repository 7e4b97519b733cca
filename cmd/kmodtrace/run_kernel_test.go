package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/kmodtrace/kmodtrace/internal/roles"
)

// TestRun: for whatever loads modules, or needs them, `run` reports the loads that
// the kernel's list of modules shows to have happened, and nothing of what others load
// and unload meanwhile.
func TestRun(t *testing.T) {
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("loads modules into the kernel: runs only in a machine of the lab (kmodtrace lab exec)")
	}
	if err := roles.Install("kmodtrace", "login", "sudo", "loader", "opener", "contain"); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("/mnt", 0o755); err != nil {
		t.Fatal(err)
	}
	hello, nap := labModule("hello"), labModule("nap6")
	unload(t, []string{"hello", "dummy", "xfs", "vxlan", "af_alg"}) // an earlier test may have left some
	// The helper's configuration is for two processes that ask at once.
	writeConfig(t, "alias rtnl-link-kmtwo nap6\ninstall nap6 insmod "+nap+" ms=700\n")
	defer noise(t)()
	const container = "system.slice/docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope"
	for _, c := range []struct {
		name    string
		command []string
		status  int
		asks    []string // must be among the requests; without any, there must be none
		may     string   // an action that some kernels see too
	}{
		{name: "insmod from a shell", command: []string{"sh", "-c", "insmod " + hello + "; exit $?"}},
		{name: "a user through sudo", command: []string{roles.Path("login"), "1000", roles.Path("sudo"), "insmod", hello}},
		{name: "a program that is gone at once", command: []string{roles.Path("loader"), hello}},
		{name: "mount", command: []string{"mount", "-t", "xfs", "none", "/mnt"}, status: anyFailure, asks: []string{"fs-xfs"}},
		{name: "ip link", command: []string{"ip", "link", "add", "run0", "type", "dummy"}, asks: []string{"rtnl-link-dummy"}},
		{name: "an unprivileged user's socket", command: []string{roles.Path("login"), "65534", roles.Path("opener"), "38", "5", "0"}, asks: []string{"net-pf-38"}},
		{name: "modprobe with dependencies", command: []string{"modprobe", "vxlan"}},
		{name: "in a container", command: []string{roles.Path("contain"), container, "insmod", hello}},
		{name: "two at once", command: []string{"sh", "-c", "ip link add two0 type kmtwo & ip link add two1 type kmtwo & wait"}, asks: []string{"rtnl-link-kmtwo", "rtnl-link-kmtwo"},
			may: "load nap6 failed"}, // the second one's, where it does not share the first one's result
		{name: "nothing provides it", command: []string{"ip", "link", "add", "run1", "type", "nosuchkind"}, status: anyFailure, asks: []string{"rtnl-link-nosuchkind"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := modules(t)
			said := runTraced(t, c.command, c.status)
			var came []string
			for _, m := range modules(t) {
				if !slices.Contains(before, m) {
					came = append(came, m)
				}
			}
			if diff := cmp.Diff(came, slices.Compact(slices.Sorted(slices.Values(said.loads)))); diff != "" {
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
			unload(t, came)
		})
	}
}

// anyFailure stands for an exit status that is not 0.
const anyFailure = -1

// activity is what `run` reported.
type activity struct{ loads, asks, others []string }

func runTraced(t *testing.T, command []string, status int) (said activity) {
	t.Helper()
	report := filepath.Join(t.TempDir(), "report.json")
	cmd := exec.Command(roles.Path("kmodtrace"), slices.Concat([]string{"run", "--json", "--output", report, "--"}, command)...)
	text, err := cmd.CombinedOutput()
	if ended := cmd.ProcessState.ExitCode(); ended != status && (status != anyFailure || ended == 0) {
		t.Fatalf("%q ended with %d (%v):\n%s", command, ended, err, text)
	}
	data, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		var a struct{ Action, Module, Outcome string }
		if err := json.Unmarshal(line, &a); err != nil {
			t.Fatal(err)
		}
		switch {
		case a.Action == "load" && a.Outcome == "live":
			said.loads = append(said.loads, a.Module)
		case a.Action == "request":
			said.asks = append(said.asks, a.Module)
		default:
			said.others = append(said.others, strings.Join([]string{a.Action, a.Module, a.Outcome}, " "))
		}
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

// unload removes modules, each when nothing uses it any more.
func unload(t *testing.T, names []string) {
	t.Helper()
	for range names {
		for _, name := range names {
			_ = exec.Command("rmmod", name).Run()
		}
	}
	for _, name := range modules(t) {
		if slices.Contains(names, name) {
			t.Fatalf("%s stays", name)
		}
	}
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
			time.Sleep(100 * time.Millisecond) // or attaching takes three times as long
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
