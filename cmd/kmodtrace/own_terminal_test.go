package main

import (
	"bufio"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/await"
)

// onTerminal runs a command as nobody, below passthrough, on a terminal.
func onTerminal(t *testing.T, script string) (*exec.Cmd, *os.File, *bufio.Reader) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can run a command as another user")
	}
	program, err := exec.LookPath("passthrough")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "sh", "-c", "cd /; "+script)
	cmd.Env = append(os.Environ(), "PASSTHROUGH_USER=nobody")
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 33, Cols: 77})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		terminal.Close()
	})
	if err := terminal.SetReadDeadline(time.Now().Add(await.Bound)); err != nil {
		t.Fatal(err)
	}
	return cmd, terminal, bufio.NewReader(terminal)
}

// until reads lines until one has a text, and gives that.
func until(t *testing.T, lines *bufio.Reader, want string) string {
	t.Helper()
	var all strings.Builder
	for {
		line, err := lines.ReadString('\n')
		all.WriteString(line)
		if strings.Contains(line, want) {
			return strings.TrimSpace(line)
		}
		if err != nil {
			t.Fatalf("no %q in %q: %v", want, all.String(), err)
		}
	}
}

// TestOwnTerminal: a command of another user has a terminal of its own, where it is the
// session, sees its size and what is typed, is stopped and continued as a job, and is
// interrupted; root's terminal is none of its files.
func TestOwnTerminal(t *testing.T) {
	cmd, terminal, lines := onTerminal(t, `echo "tty $(tty)"; echo "size $(stty size)"; echo "own $(readlink /proc/self/fd/2)"
		read line; echo "got $line"; read line; echo "then $line"; trap "echo interrupted; exit 7" INT; echo ready; while :; do sleep 0.1; done`)
	outer, err := os.Readlink("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/fd/0")
	if err != nil {
		t.Fatal(err)
	}
	if got := until(t, lines, "tty "); got == "tty "+outer || !strings.Contains(got, "/dev/pts/") {
		t.Errorf("%s, and the user's is %s", got, outer)
	}
	if got := until(t, lines, "size "); got != "size 33 77" {
		t.Error(got)
	}
	if got := until(t, lines, "own "); got == "own "+outer {
		t.Error(got)
	}
	typed := func(text string) {
		t.Helper()
		if _, err := terminal.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	typed("hello\n")
	until(t, lines, "got hello")
	typed("\x1a") // Ctrl-Z
	var status unix.WaitStatus
	if _, err := unix.Wait4(cmd.Process.Pid, &status, unix.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("not stopped: %v, %v", status, err)
	}
	if mode, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS); err != nil || mode.Lflag&unix.ICANON == 0 {
		t.Errorf("the terminal was left raw: %v", err)
	}
	if err := unix.Kill(cmd.Process.Pid, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	typed("again\n")
	until(t, lines, "then again")
	until(t, lines, "ready")
	typed("\x03") // Ctrl-C
	until(t, lines, "interrupted")
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("%v", err)
	}
}

// TestOwnTerminalEnd: all that a command has written is shown, its status is given, and
// what it leaves behind is not waited for.
func TestOwnTerminalEnd(t *testing.T) {
	cmd, _, lines := onTerminal(t, `(trap "" HUP; sleep 100) & i=0; while [ $i -lt 2000 ]; do echo "line $i"; i=$((i+1)); done; exit 5`)
	until(t, lines, "line 1999")
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(await.Bound):
		t.Fatal("it did not end")
	}
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.ExitStatus() != 5 {
		t.Errorf("%v", status)
	}
}
