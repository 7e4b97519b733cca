package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/await"
)

func TestLockFileAdmitsOneAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made", "lock")
	var inside, worst int
	var mu sync.Mutex
	step := func(by int) {
		mu.Lock()
		defer mu.Unlock()
		inside += by
		worst = max(worst, inside)
	}
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			unlock, err := lockFile(t.Context(), path, io.Discard)
			if err != nil {
				t.Error(err)
				return
			}
			step(1)
			time.Sleep(5 * time.Millisecond)
			step(-1)
			unlock()
		})
	}
	all.Wait()
	if worst != 1 {
		t.Errorf("%d held the lock at once", worst)
	}
}

func TestLockFileGivesUpWhenCancelled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lockFile(t.Context(), path, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var told bytes.Buffer
	if _, err := lockFile(ctx, path, &told); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("lockFile = %v, want the context's end", err)
	}
	if strings.Count(told.String(), "waiting") != 1 {
		t.Errorf("told %q, want once that it waits", told.String())
	}
}

func TestAssembleLeavesNothingHalfDone(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "thing")
	broken := errors.New("interrupted")
	err := assemble(dir, "thing", func(_, root string) error {
		writeFile(t, filepath.Join(root, "half"), "x")
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("assemble = %v, want %v", err, broken)
	}
	if left, _ := os.ReadDir(parent); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	writeFile(t, filepath.Join(parent, ".fetch-thing", "root", "of a killed fetch"), "x")
	err = assemble(dir, "thing", func(_, root string) error {
		writeFile(t, filepath.Join(root, "whole"), "x")
		return nil
	})
	if err != nil || !exists(filepath.Join(dir, "whole")) || exists(filepath.Join(dir, "of a killed fetch")) {
		t.Errorf("assemble = %v, want the new result and nothing of the killed one", err)
	}
	if left, _ := os.ReadDir(parent); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestAssembleInAPlaceThatTakesNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	writeFile(t, file, "")
	never := func(string, string) error { t.Error("went on"); return nil }
	if err := assemble(filepath.Join(file, "cache", "x"), "x", never); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("a cache below a file: %v, want ENOTDIR", err)
	}
	if err := assemble("/proc/kmodtrace/x", "x", never); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a cache that cannot be made: %v, want ENOENT", err)
	}
}

// mountTmpfs gives a file system of a size, or with other options.
func mountTmpfs(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("needs to mount a small file system: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func TestReadOnlyCache(t *testing.T) {
	dir := mountTmpfs(t, "size=1m")
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := EnsureKernel(t.Context(), dir, "5.10", "arm64", io.Discard); !errors.Is(err, unix.EROFS) {
		t.Errorf("fetch into a read-only cache: %v, want EROFS", err)
	}
}

func TestFullDisk(t *testing.T) {
	dir := mountTmpfs(t, "size=64k")
	writeFile(t, filepath.Join(dir, "index.json"), "old")
	big := bytes.Repeat([]byte("x"), 1<<20)
	if err := replaceFile(filepath.Join(dir, "index.json"), big); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("replaceFile on a full disk: %v, want ENOSPC", err)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "index.json")); string(text) != "old" {
		t.Errorf("the old file became %d bytes", len(text))
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestOutputReportsTheComplaint(t *testing.T) {
	for script, want := range map[string]string{
		`echo "W: careful" >&2; echo "E: one" >&2; echo "E: two" >&2; exit 100`: "one; two",
		`echo "the cause" >&2; echo "what followed" >&2; exit 1`:                "the cause",
		`exit 3`: "exit status 3",
	} {
		_, err := output(exec.Command("sh", "-c", script))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: error %v, want one line with %q", script, err, want)
		}
		if !errors.As(err, new(*exec.ExitError)) {
			t.Errorf("%q: exit status is lost in %v", script, err)
		}
	}
	if _, err := output(exec.Command("/nonexistent")); !errors.Is(err, unix.ENOENT) {
		t.Errorf("missing command: %v, want ENOENT", err)
	}
}

func TestCancelEndsTheChildrenToo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	pidFile := filepath.Join(t.TempDir(), "pid")
	cmd := exec.CommandContext(ctx, "sh", "-c", `sleep 1000 & echo $! > "$0.new" && mv "$0.new" "$0"; wait`, pidFile)
	ended := make(chan error, 1)
	go func() { _, err := output(cmd); ended <- err }()
	pid := waitForPid(t, pidFile)
	cancel()
	if err := <-ended; err == nil {
		t.Error("a cancelled command succeeded")
	}
	deadline := time.Now().Add(await.Bound)
	for isAlive(pid) {
		if time.Now().After(deadline) {
			syscall.Kill(pid, syscall.SIGKILL)
			t.Fatalf("child %d outlived its parent", pid)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func waitForPid(t *testing.T, file string) int {
	t.Helper()
	for deadline := time.Now().Add(await.Bound); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if text, err := os.ReadFile(file); err == nil {
			pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatal("the command did not start")
	return 0
}

// isAlive tells a running process from one that is gone or waits to be reaped.
func isAlive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}
