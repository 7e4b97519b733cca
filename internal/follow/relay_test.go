package follow

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/await"
	"golang.org/x/sys/unix"
)

// TestReapOrphans: who has ended is waited for, and the command and who still runs are not.
func TestReapOrphans(t *testing.T) {
	command, running := start(t, "sleep", "infinity"), start(t, "sleep", "infinity")
	orphans := []int{start(t, "true"), start(t, "true")}
	for _, pid := range orphans {
		inState(t, pid, "Z")
	}
	reapOrphans(command)
	for _, pid := range orphans {
		if _, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); err != unix.ECHILD {
			t.Errorf("an orphan was not waited for: %v", err)
		}
	}
	for _, pid := range []int{command, running} {
		if got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); got != 0 || err != nil {
			t.Errorf("who runs was waited for: %d, %v", got, err)
		}
	}
}

// TestContinued: that the command was continued is told once.
func TestContinued(t *testing.T) {
	pid := start(t, "sleep", "infinity")
	if continued(pid) {
		t.Error("continued before it was stopped")
	}
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	inState(t, pid, "T")
	if err := unix.Kill(pid, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if !continued(pid) {
		t.Error("not continued after SIGCONT")
	}
	if continued(pid) {
		t.Error("continued twice")
	}
}

// start starts a child that only the test waits for.
func start(t *testing.T, argv ...string) int {
	t.Helper()
	path, err := exec.LookPath(argv[0])
	if err != nil {
		t.Fatal(err)
	}
	pid, err := syscall.ForkExec(path, argv, &syscall.ProcAttr{Env: os.Environ()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Kill(pid, unix.SIGKILL)
		_, _ = unix.Wait4(pid, nil, 0, nil)
	})
	return pid
}

// inState waits until a process is in a state, as /proc/PID/stat has it.
func inState(t *testing.T, pid int, state string) {
	t.Helper()
	await.Until(t, "process "+strconv.Itoa(pid)+" in state "+state, func() bool {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		_, rest, _ := strings.Cut(string(text), ") ")
		return err == nil && strings.HasPrefix(rest, state)
	})
}
