package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/internal/tracing"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// muchMore attempts have no room in a ring of events of smallRing: some 600 have. In the ring
// of the usual size a few thousand have, and to tell more takes a minute here.
const (
	smallRing = 1 << 20
	muchMore  = 1500
)

// ringVariable names how many bytes the ring of events of a process's tracer has.
const ringVariable = "KMODTRACE_TEST_RING"

// runWithRing is run with a ring of that size.
func runWithRing(size string) int {
	bytes, err := strconv.ParseUint(size, 10, 32)
	if err != nil {
		panic(err)
	}
	var t *tracer.Tracer
	ctx := tracing.Lend(context.Background(), func(backend tracer.Backend) (*tracer.Tracer, error) {
		t, err = tracer.Open(&tracer.Options{Backend: backend, RingSize: uint32(bytes)})
		return t, err
	})
	status := runIn(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	if t != nil {
		_ = t.Close()
	}
	return status
}

// refuseUnloads makes refused unloads, and calls pause before each hundred.
func refuseUnloads(t *testing.T, n int, pause func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for i := range n {
		if i%100 == 0 {
			pause()
		}
		// EINTR is by the runtime's own signals.
		if err := unix.DeleteModule(fmt.Sprintf("nosuch%d", i), unix.O_NONBLOCK); err != unix.ENOENT && err != unix.EINTR {
			t.Fatalf("the kernel says %v", err)
		}
	}
}

// watching is a process that watches.
type watching struct {
	*exec.Cmd
	errs bytes.Buffer
}

func startWatching(t *testing.T, stdout *os.File, env ...string) *watching {
	t.Helper()
	if os.Getenv("KMODTRACE_LAB") == "" {
		t.Skip("runs only in a machine of the lab (kmodtrace lab exec)")
	}
	ready := filepath.Join(t.TempDir(), "ready")
	w := &watching{Cmd: exec.Command("kmodtrace", "watch", "--json", "--ready-file", ready)}
	w.Env = append(os.Environ(), env...)
	w.Stdout, w.Stderr = stdout, &w.errs
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Process.Kill() })
	awaitFile(t, ready)
	return w
}

// isIdle tells whether all its threads wait for something.
func (w *watching) isIdle() bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", w.Process.Pid))
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		_, state, _ := strings.Cut(string(text[bytes.LastIndexByte(text, ')')+1:]), " ")
		if err == nil && !strings.HasPrefix(state, "S") {
			return false
		}
	}
	return len(threads) > 0
}

// TestWatchUnread: all of a storm is reported, although nobody reads the output before it is over.
// What has no room in the ring waits in the process. The storm pauses until the process has read the
// ring: at full speed no reader keeps up on an emulated machine, and at half of it none on a
// busy one.
func TestWatchUnread(t *testing.T) {
	r, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w := startWatching(t, out, fmt.Sprintf("%s=%d", ringVariable, smallRing))
	out.Close()
	refuseUnloads(t, muchMore, func() {
		time.Sleep(50 * time.Millisecond) // longer than it waits by itself, to take more at once
		await.Until(t, "it waits for more", w.isIdle)
	})
	if err := w.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	told := 0
	for lines := bufio.NewScanner(r); lines.Scan(); {
		if strings.Contains(lines.Text(), fmt.Sprintf(`"module":"nosuch%d"`, told)) {
			told++
		}
	}
	if err := w.Wait(); err != nil || told != muchMore {
		t.Errorf("of %d attempts %d were told, in order; %v: %s", muchMore, told, err, w.errs.Bytes())
	}
}

// TestWatchHurry: told twice to end, watch says how much it has not shown, and ends.
func TestWatchHurry(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	w := startWatching(t, out)
	const made = 3000 // has room in the ring, and takes longer to show than to make
	refuseUnloads(t, made, func() { time.Sleep(50 * time.Millisecond) })
	for range 2 {
		if err := w.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond)
	}
	ended := make(chan error, 1)
	go func() { ended <- w.Wait() }()
	select {
	case <-ended:
	case <-time.After(await.Bound):
		t.Fatal("it does not end")
	}
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	shown := bytes.Count(text, []byte("\n"))
	want := fmt.Sprintf("; %d more were skipped after a second interrupt", made-shown)
	if status := w.ProcessState.ExitCode(); status != exitLost || !strings.Contains(w.errs.String(), want) {
		t.Errorf("after %d of %d it ended with %d: %s\nwant %d and %q", shown, made, status, w.errs.Bytes(), exitLost, want)
	}
}
