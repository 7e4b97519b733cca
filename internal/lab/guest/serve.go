package guest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// statusNotStarted is what a shell gives for a command that it could not run,
// statusNotFound for one that is not there.
const (
	statusNotStarted = 126
	statusNotFound   = 127
)

// lastOutput is how long the output of an ended command is waited for. Every
// process was killed before, so only one stuck in the kernel (a module's init
// that never returns) can still hold a pipe open.
const lastOutput = 2 * time.Second

// serve runs the task's command to its end. The error is the results port's:
// a command that cannot run is trouble for the host to hear of, with its status.
func serve(task Task, port io.Reader, frames *Writer) (ExitStatus, error) {
	path, err := lookPath(task.Argv[0], task.Env, task.Dir)
	if err != nil {
		return ExitStatus{Status: statusNotFound}, frames.trouble(fmt.Errorf("run %w", err))
	}
	std, err := openStdio(task.Terminal)
	if err != nil {
		return ExitStatus{Status: statusNotStarted}, frames.trouble(err)
	}
	pid, err := syscall.ForkExec(path, task.Argv, &syscall.ProcAttr{
		Dir:   task.Dir,
		Env:   task.Env,
		Files: std.child(),
		Sys:   &syscall.SysProcAttr{Setsid: true, Setctty: task.Terminal != nil},
	})
	std.closeChild()
	if err != nil {
		return ExitStatus{Status: statusNotStarted}, frames.trouble(fmt.Errorf("run %.80s: %w", path, err))
	}
	if err := frames.Write(Started, nil); err != nil {
		return ExitStatus{}, err
	}
	go newListener(pid, frames).listen(NewReader(port), std.stdin)
	output := std.stream(frames)
	status := reap(pid)
	select {
	case err = <-output:
	case <-time.After(lastOutput):
		err = frames.trouble(errors.New("a process outlived SIGKILL: what it printed last may be missing"))
	}
	return status, err
}

// reap waits for every child, the command's orphans too, until the command
// itself has ended, then ends the others. One loop does all waiting: a second
// waiter could take the command's status away.
func reap(pid int) ExitStatus {
	var status ExitStatus
	for {
		var ws syscall.WaitStatus
		child, err := syscall.Wait4(-1, &ws, 0, nil)
		if err == syscall.EINTR || (err == nil && child != pid) {
			continue
		}
		switch {
		case err != nil: // the kernel says that there is no such child
			status.Status = statusNotStarted
		case ws.Signaled():
			status.Signal = int(ws.Signal())
			status.Status = 128 + status.Signal
		default:
			status.Status = ws.ExitStatus()
		}
		break
	}
	// Everybody else, from pid 1; the command's own session from the agent, for
	// systemd's services are none of its business. It fails only when there is nobody.
	rest := -1
	if os.Getpid() != 1 {
		rest = -pid
	}
	_ = unix.Kill(rest, unix.SIGKILL)
	return status
}
