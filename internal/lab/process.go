package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// process is a running QEMU.
type process struct {
	stdin  io.WriteCloser
	stdout io.ReadCloser
	stderr *bytes.Buffer
	exited chan struct{}
	kill   func()
	err    error // once exited is closed
}

// afterlife is how long a guest that said goodbye may take to power off.
const afterlife = 10 * time.Second

// startQEMU starts QEMU on a thread of its own that lives as long as it does:
// the kernel kills QEMU when that thread ends, so that not even a killed kmodtrace leaves
// a machine behind.
func startQEMU(ctx context.Context, path string, args []string, files ...*os.File) (*process, error) {
	p := &process{stderr: new(bytes.Buffer), exited: make(chan struct{})}
	ctx, p.kill = context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.ExtraFiles = files
	cmd.Stderr = p.stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.stdout, cmd.Stdout = stdout, w
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		w.Close()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.exited)
		}
	}()
	if err := <-started; err != nil {
		p.kill()
		stdout.Close()
		return nil, fmt.Errorf("start the machine: %w", err)
	}
	return p, nil
}

// end waits for QEMU to exit. One whose guest is done, or whose output ended, is
// already on its way.
func (p *process) end(leaving bool) error {
	defer p.stdout.Close()
	if !leaving {
		p.kill()
	}
	select {
	case <-p.exited:
	case <-time.After(afterlife):
		p.kill()
		<-p.exited
	}
	p.kill()
	return p.err
}

// complaint is QEMU's own error message, in one line.
func (p *process) complaint() string {
	text := strings.TrimSpace(p.stderr.String())
	lines := strings.Split(text, "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.Contains(line, "terminating on signal") })
	return strings.Join(lines, "; ")
}
