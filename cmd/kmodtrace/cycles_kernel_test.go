package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// TestCycles: cycles of load and unload by insmod, rmmod and modprobe beside `watch
// --json` give exactly the actions that happened, in order. KMODTRACE_TIMES says how many.
// Without it there are fifty with each backend, on each kernel that is tested: what goes wrong
// once in a hundred times shows in most runs of CI. What is rarer needs more.
func TestCycles(t *testing.T) {
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("loads modules into the kernel: runs only in a machine of the lab (kmodtrace lab exec)")
	}
	cycles := 50
	if text := os.Getenv("KMODTRACE_TIMES"); text != "" {
		var err error
		if cycles, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := tracer.HaveFentry(); err != nil {
		if release, _ := tracer.Release(); !strings.HasPrefix(release, "6.1.") || runtime.GOARCH != "arm64" {
			t.Fatal(err)
		}
		t.Logf("arm64 before 6.4 has no direct calls for trampolines: %v", err)
		testCycles(t, tracer.Kprobe, cycles)
		return
	}
	t.Run("fentry", func(t *testing.T) { testCycles(t, tracer.Fentry, cycles) })
	t.Run("kprobe", func(t *testing.T) { testCycles(t, tracer.Kprobe, cycles) })
}

func testCycles(t *testing.T, backend tracer.Backend, cycles int) {
	type brief struct {
		Action, Module, Outcome string
		Comm                    string
	}
	hello := filepath.Join(os.Getenv("KMODTRACE_MODULES"), "hello.ko")
	var want []brief
	for range cycles / 2 {
		want = append(want,
			brief{"load", "hello", "live", "insmod"}, brief{"unload", "hello", "unloaded", "rmmod"},
			brief{"load", "dummy", "live", "modprobe"}, brief{"unload", "dummy", "unloaded", "modprobe"})
	}
	// Its end shows that nothing was invented before it.
	want = append(want, brief{"unload", "nosuch", "failed", "busybox"})

	ready := filepath.Join(t.TempDir(), "ready")
	var out, errs bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run([]string{"watch", "--json", "--backend", backend.String(), "--ready-file", ready,
			"--pending-after", "0", "--count", strconv.Itoa(len(want))}, nil, &out, &errs)
	}()
	awaitFile(t, ready)
	for range cycles / 2 {
		for _, args := range [][]string{
			{"/sbin/insmod", hello}, {"/sbin/rmmod", "hello"},
			{"/sbin/modprobe", "dummy"}, {"/sbin/modprobe", "-r", "dummy"},
		} {
			if text, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%q: %v\n%s", args, err, text)
			}
		}
	}
	// Refused, as it should be. (kmod's rmmod looks first, and does not ask the kernel.)
	_ = exec.Command("busybox", "rmmod", "nosuch").Run()

	select {
	case status := <-ended:
		if status != exitOK {
			t.Errorf("watch ended with %d\n%s", status, errs.Bytes())
		}
	case <-time.After(await.Bound):
		t.Errorf("watch does not end\n%s", stacks())
	}
	var got []brief
	for line := range bytes.Lines(out.Bytes()) {
		if err := validateText("action", line); err != nil {
			t.Fatal(err)
		}
		var a struct {
			brief
			Thread struct{ Comm string }
		}
		if err := json.Unmarshal(line, &a); err != nil {
			t.Fatal(err)
		}
		a.brief.Comm = a.Thread.Comm
		got = append(got, a.brief)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("actions (-want +got):\n%s\n%s", diff, errs.Bytes())
	}
}

// stacks gives where each goroutine is.
func stacks() []byte {
	text := make([]byte, 1<<20)
	return text[:runtime.Stack(text, true)]
}

func awaitFile(t *testing.T, file string) {
	t.Helper()
	await.Until(t, file, func() bool {
		_, err := os.Stat(file)
		return err == nil
	})
}
