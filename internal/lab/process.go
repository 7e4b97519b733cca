package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a running QEMU.
type process struct {
	ctx    context.Context // done when QEMU has to end
	stdin  io.WriteCloser
	stdout *os.File
	pipes  []*os.File // that are read from QEMU
	stderr *head
	exited chan struct{}
	kill   func()
	err    error // once exited is closed
}

const (
	// afterlife is how long a guest that said goodbye may take to power off.
	afterlife = 10 * time.Second
	// deathbed is how long the kernel may take to end a killed process: one that waits for
	// a disk that does not answer cannot be killed.
	deathbed = 5 * time.Second
	// lastWords is how long what a dead QEMU wrote may still take to be read. All of it is
	// in a pipe; only a child of QEMU's that nobody could kill can keep that open.
	lastWords = time.Second
)

// launch is how a QEMU is started.
type launch struct {
	path  string
	args  []string
	files []*os.File // its descriptors from 3 on
	as    *syscall.Credential
	// disk is the size of the largest file that it may write.
	disk int64
	// console is a pipe that it writes to.
	console *os.File
}

// startQEMU starts QEMU on a thread of its own that lives as long as it does:
// the kernel kills QEMU when that thread ends, so that not even a killed kmodtrace leaves
// a machine behind.
func startQEMU(ctx context.Context, l launch) (*process, error) {
	p := &process{stderr: &head{most: 16 << 10}, exited: make(chan struct{})}
	p.ctx, p.kill = context.WithCancel(ctx)
	cmd := exec.CommandContext(p.ctx, "/bin/sh", l.limited()...)
	cmd.ExtraFiles = l.files
	cmd.Stderr = p.stderr
	cmd.Dir, cmd.Env = "/", qemuEnvironment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true, Credential: l.as}
	cmd.Cancel = func() error { return killGroup(cmd.Process.Pid) }
	cmd.WaitDelay = lastWords
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		p.kill()
		return nil, err
	}
	stdout, w, err := os.Pipe()
	if err != nil {
		p.kill()
		return nil, err
	}
	p.stdout, cmd.Stdout = stdout, w
	p.pipes = []*os.File{stdout, l.console}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		w.Close()
		started <- err
		if err == nil {
			p.err = waitGroup(cmd)
			close(p.exited)
		}
	}()
	if err := <-started; err != nil {
		p.kill()
		stdout.Close()
		return nil, fmt.Errorf("start the machine: %w", err)
	}
	go p.wake()
	return p, nil
}

// qemuEnvironment is all that QEMU gets to know of the environment.
func qemuEnvironment() []string {
	env := []string{"LC_ALL=C", "HOME=/nonexistent"}
	for _, name := range []string{"PATH", "LD_LIBRARY_PATH", "QEMU_MODULE_DIR"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// limited is the command that bounds what a QEMU that its guest has taken over can do to
// the disk, and becomes QEMU. (prlimit would need a privilege where QEMU has a user of its
// own. The shell counts in 512 bytes.)
func (l launch) limited() []string {
	return append([]string{"-c", `ulimit -c 0 && ulimit -f "$1" && shift && exec "$@"`, "sh",
		strconv.FormatInt((l.disk+511)/512, 10), l.path}, l.args...)
}

// waitGroup waits for QEMU, and ends what it has started: that could keep its pipes open.
// Before QEMU is reaped nobody else can have the number of its group.
func waitGroup(cmd *exec.Cmd) error {
	for {
		err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	_ = killGroup(cmd.Process.Pid)
	return cmd.Wait()
}

func killGroup(pid int) error {
	err := unix.Kill(-pid, unix.SIGKILL)
	if errors.Is(err, unix.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// wake ends a read of QEMU's output when QEMU has ended, or has to.
func (p *process) wake() {
	select {
	case <-p.ctx.Done():
	case <-p.exited:
	}
	for _, pipe := range p.pipes {
		_ = pipe.SetReadDeadline(time.Now())
	}
}

// reader reads one of QEMU's pipes, to QEMU's end and not longer.
func (p *process) reader(pipe *os.File) io.Reader { return &untilEnd{p.ctx, pipe} }

// untilEnd reads a pipe that [process.wake] interrupts.
type untilEnd struct {
	ctx  context.Context
	pipe *os.File
}

func (r *untilEnd) Read(b []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, io.EOF
	}
	n, err := r.pipe.Read(b)
	if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	if r.ctx.Err() != nil {
		return 0, io.EOF
	}
	// QEMU has exited. What it wrote is in the pipe.
	if err := r.pipe.SetReadDeadline(time.Now().Add(lastWords)); err != nil {
		return 0, err
	}
	n, err = r.pipe.Read(b)
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		err = io.EOF
	}
	return n, err
}

// end waits for QEMU to exit. One whose guest is done, or whose output ended, is
// already on its way.
func (p *process) end(leaving bool) error {
	defer p.stdout.Close()
	defer p.kill()
	if !leaving {
		p.kill()
	}
	select {
	case <-p.exited:
		return p.err
	case <-p.ctx.Done():
	case <-time.After(afterlife):
		p.kill()
	}
	select {
	case <-p.exited:
		return p.err
	case <-time.After(deathbed):
		return errors.New("QEMU was killed and does not end")
	}
}

// awaitExit waits until QEMU has exited, or has to.
func (p *process) awaitExit() {
	select {
	case <-p.exited:
	case <-p.ctx.Done():
	case <-time.After(afterlife):
	}
}

// complaint is QEMU's own error message, in one line.
func (p *process) complaint() string {
	text := strings.TrimSpace(p.stderr.String())
	lines := strings.Split(text, "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.Contains(line, "terminating on signal") })
	return strings.Join(lines, "; ")
}

// head keeps the beginning of what is written to it.
type head struct {
	most int
	mu   sync.Mutex
	text bytes.Buffer
}

func (h *head) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text.Write(p[:min(len(p), h.most-h.text.Len())])
	return len(p), nil
}

func (h *head) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}
