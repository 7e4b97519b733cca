package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/lab/guest"
)

// Machine describes a virtual machine that boots a kernel, runs one command and
// is gone. Only Kernel is required.
type Machine struct {
	Kernel  Kernel
	Append  string        // more kernel command line; a later word overrides the lab's own
	Memory  int           // MiB; 0 for enough to hold the image and 512 more
	CPUs    int           // 0 for 2; [Counted] has one
	Timeout time.Duration // for the whole run; 0 for none beside the context's

	// Stall bounds how long the guest may send nothing: then its command gets SIGQUIT, at
	// which a Go program prints the stacks of its goroutines, and when that does not help the
	// machine is ended. 0 for no bound.
	Stall time.Duration
	// Signals are for the command. Nil for none.
	Signals <-chan os.Signal

	Files []File   // what the guest gets beside its tools
	Env   []string // NAME=VALUE, added to the lab's own PATH, HOME and TERM
	Dir   string   // where the command runs, made when absent; "" for /root
	Bring []Bring  // what comes back when the command has ended

	// BringBytes and BringFiles bound what comes back: 0 for 1 GiB, and 100,000 files and
	// directories.
	BringBytes int64
	BringFiles int

	// Disk is a file that the guest has as /dev/vda, by the module virtio_blk; "" for no
	// disk. It stays as the guest leaves it, also when the machine is killed.
	Disk string

	Stdin    io.Reader   // nil for none. Read in the background, perhaps past the command's end
	Terminal *guest.Size // run the command on a terminal, its output arriving as stdout

	Init      string // "" for the lab's own, [Systemd] or [SystemdBefore]: see there
	NoModules bool   // leave the kernel's module tree out
	Bare      bool   // leave the tools out too: kmodtrace, the command and nothing else
	Boot      bool   // boot, also where a snapshot could be restored: see [Machine.restorable]
	Console   string // keep the kernel's console in this file, the first 64 MiB of it
	Accel     Accel  // "" to choose: see ChooseAccel

	// Watch gets the kernel's console as it comes, also what no file takes any more. It
	// must not block. Nil for nobody.
	Watch io.Writer

	Program string // the kmodtrace binary that becomes the first process, "" for GuestProgram

	startLimit time.Duration // for tests; 0 for [startLimit]

	Cache    string    // the lab's cache directory, "" for CacheDir
	Progress io.Writer // told about long work such as fetching tools; may be nil
}

// hostname is the guest's own.
const hostname = "lab"

// report is what a run looked like from outside.
type report struct {
	status   guest.ExitStatus
	image    int64 // bytes
	restored bool  // from a snapshot
	times    struct{ begun, started, ready, exited, off time.Time }
}

// Run boots the machine, runs argv in it, and gives the command's exit status,
// which is 128 plus the signal's number when one killed it, and 127 or 126
// when it could not be found or started (the error says why).
//
// A guest that panics or hangs gives a *[CrashError] with the console's last
// lines, and so does a run that the context or the timeout ended. Whenever the command's
// own end is unknown the status is -1 and the error is not nil.
func Run(ctx context.Context, m Machine, argv []string, stdout, stderr io.Writer) (int, error) {
	r, err := m.run(ctx, argv, stdout, stderr)
	return r.status.Status, err
}

func (m Machine) run(ctx context.Context, argv []string, stdout, stderr io.Writer) (report, error) {
	r := report{status: guest.ExitStatus{Status: -1}}
	r.times.begun = time.Now()
	if len(argv) == 0 || argv[0] == "" {
		return r, errors.New("run in the guest: no command given")
	}
	m, err := m.withDefaults()
	if err != nil {
		return r, err
	}
	done, err := m.use()
	if err != nil {
		return r, err
	}
	defer done()
	q, err := findQEMU(ctx, m.Kernel.Arch)
	if err != nil {
		return r, err
	}
	if m.Accel == "" {
		if m.Accel, err = ChooseAccel(ctx, m.Cache, m.Kernel); err != nil {
			return r, err
		}
	}
	if m.Accel == Counted {
		m.CPUs = 1 // QEMU counts those of all processors together
	}
	if m.restorable() {
		if done, err := m.restore(ctx, q, argv, &r, stdout, stderr); done {
			return r, err
		}
	}
	image, err := m.makeImage(ctx, m.task(argv))
	if err != nil {
		return r, err
	}
	defer image.Close()
	info, err := image.Stat()
	if err != nil {
		return r, err
	}
	r.image = info.Size()
	if m.Memory == 0 {
		m.Memory = 512 + int(2*r.image>>20) // the archive and what it unpacks to exist at once
		if m.Init != "" {
			m.Memory += 512 // the root may fill half of it, and packages are installed there
		}
	}
	return r, m.live(ctx, q, supply{image: image}, &r, stdout, stderr)
}

func (m Machine) withDefaults() (Machine, error) {
	if m.CPUs == 0 {
		m.CPUs = 2
	}
	if m.CPUs < 0 || m.Memory < 0 || m.Timeout < 0 || m.Stall < 0 {
		return m, fmt.Errorf("machine with %d CPUs, %d MiB, a timeout of %v and a stall of %v: nothing may be negative", m.CPUs, m.Memory, m.Timeout, m.Stall)
	}
	if err := CheckInit(m.Init); err != nil {
		return m, err
	}
	if m.Init != "" {
		// Nobody logs in on the console, which is a file.
		m.Append = strings.TrimSpace("systemd.getty_auto=no " + m.Append)
	}
	if m.Dir == "" {
		m.Dir = "/root"
	}
	if !path.IsAbs(m.Dir) {
		return m, fmt.Errorf("directory %q: not an absolute path in the guest", m.Dir)
	}
	if m.BringBytes < 0 || m.BringFiles < 0 {
		return m, fmt.Errorf("bring back %d bytes and %d files: nothing may be negative", m.BringBytes, m.BringFiles)
	}
	if err := checkBring(m.Bring); err != nil {
		return m, err
	}
	if m.Cache == "" {
		var err error
		if m.Cache, err = CacheDir(); err != nil {
			return m, err
		}
	}
	return m, nil
}

func (m Machine) progress() io.Writer {
	if m.Progress == nil {
		return io.Discard
	}
	return m.Progress
}

// task is what the guest's first process is told.
func (m Machine) task(argv []string) guest.Task {
	env := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/sh", "TERM=dumb",
		"KMODTRACE_LAB=" + m.Kernel.Release,
	}
	task := guest.Task{
		Port:     resultsPort(m.Kernel.Arch),
		Hostname: hostname,
		Argv:     argv,
		Env:      append(env, m.Env...),
		Dir:      m.Dir,
		Terminal: m.Terminal,
	}
	if m.Init != "" {
		task.Init = "/usr/lib/systemd/systemd"
	}
	for _, b := range m.Bring {
		task.Bring = append(task.Bring, b.Guest)
	}
	return task
}

// makeImage writes the initramfs to a file that has no name any more: nothing
// is left behind, however the run ends.
func (m Machine) makeImage(ctx context.Context, task guest.Task) (*os.File, error) {
	f, err := namelessFile("kmodtrace-image-")
	if err != nil {
		return nil, err
	}
	im, err := newImage(f)
	if err == nil {
		err = im.fill(ctx, m, task)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func namelessFile(prefix string) (*os.File, error) {
	f, err := os.CreateTemp("", prefix)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// live starts QEMU, talks with the guest to its end, and judges how it ended. Whatever
// the guest does, it ends soon after ctx is done.
func (m Machine) live(ctx context.Context, q qemu, from supply, r *report, stdout, stderr io.Writer) error {
	if m.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, m.Timeout)
		defer cancel()
	}
	ctx, stalled := context.WithCancelCause(ctx)
	defer stalled(nil)
	console, written, err := m.openConsole()
	if err != nil {
		return err
	}
	defer console.close()
	p, err := m.start(ctx, q, from, written, console.read)
	_ = written.Close()
	if err != nil {
		return err
	}
	r.times.started = time.Now()
	go console.follow(p.reader(console.read))
	var collect *collector
	if len(m.Bring) > 0 {
		collect = newCollector(m.Bring, m.bringLimits())
	}
	listening := newSession(stdout, stderr, collect)
	stop := make(chan struct{})
	if from.restore != nil {
		if err := errors.Join(from.restore(ctx), resumption(p.stdin)); err != nil {
			return errors.Join(err, p.end(false), qemuError(p.complaint()))
		}
	}
	heard := newPulse(p.reader(p.stdout))
	signals := make(chan os.Signal)
	var asked atomic.Bool
	go m.watchPulse(heard, signals, stop, stalled)
	s, receiveErr := listening.until(ctx, heard, func() {
		if from.started != nil {
			from.started()
		}
		m.startInput(listening, p.stdin, signals, stop, &asked)
	})
	close(stop)
	waitErr := p.end(s.done || errors.Is(receiveErr, io.EOF) || errors.Is(receiveErr, io.ErrUnexpectedEOF))
	r.times.ready, r.times.exited, r.times.off = s.ready, s.exited, time.Now()
	for _, note := range s.notes.all() {
		fmt.Fprintf(m.progress(), "in the guest: %v\n", note)
	}
	var collectErr error
	if collect != nil {
		collectErr = collect.close(cutOff(s.done), patience)
	}
	select {
	case <-console.done:
	case <-time.After(patience): // its file does not take it
	}
	if asked.Load() {
		// The command's own stacks do not say what it waits for in the kernel.
		fmt.Fprintf(m.progress(), "the guest's console, of a command that was asked where it waits:\n%s\n", console.text(askedTail))
	}
	tail, panicked, consoleErr := console.end()
	if !s.done {
		return m.judge(ctx, s, receiveErr, waitErr, p.complaint(), tail, panicked)
	}
	r.status = s.status
	return errors.Join(append(s.trouble.all(), collectErr, consoleErr)...)
}

// askedTail is how much of the console is shown of a command that was asked where it waits,
// in lines: the kernel prints the stack of each task that is blocked.
const askedTail = 300

// patience is how long what has to end by itself may take, once a run is over.
const patience = 2 * time.Second

// until receives until the guest is done, or ctx. Where the output is not taken by
// whoever reads it, the session is left to itself and another one given, which says nothing.
func (s *session) until(ctx context.Context, port io.Reader, started func()) (*session, error) {
	received := make(chan error, 1)
	go func() { received <- s.receive(port, started) }()
	select {
	case err := <-received:
		return s, err
	case <-ctx.Done():
	}
	select {
	case err := <-received:
		return s, err
	case <-time.After(patience):
		s.abandoned.Store(true)
		return new(session), context.Cause(ctx)
	}
}

func cutOff(done bool) error {
	if done {
		return io.EOF
	}
	return io.ErrUnexpectedEOF
}

// startInput begins to hand standard input and signals over, now that the guest listens.
func (m Machine) startInput(s *session, port io.Writer, signals <-chan os.Signal, stop <-chan struct{}, asked *atomic.Bool) {
	stdin := m.Stdin
	if stdin == nil {
		stdin = bytes.NewReader(nil)
	}
	frames := guest.NewWriter(port)
	go func() { _ = s.send(stdin, frames, stop) }() // a guest that is gone shows on the other side
	go passSignals(frames, m.Signals, signals, stop, asked)
}

// qemuError is what QEMU complained of.
func qemuError(complaint string) error {
	if complaint == "" {
		return nil
	}
	return errors.New("qemu: " + complaint)
}

// judge says why a run without a done marker ended.
func (m Machine) judge(ctx context.Context, s *session, receiveErr, waitErr error, complaint, tail, panicked string) error {
	if w := (*writeError)(nil); errors.As(receiveErr, &w) {
		return w
	}
	crash := &CrashError{Release: m.Kernel.Release, Console: tail}
	switch {
	case panicked != "":
		crash.Reason = "kernel panic: " + panicked
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		crash.Reason, crash.Err = "no end within the time allowed", ctx.Err()
		if m.Timeout > 0 {
			crash.Reason = fmt.Sprintf("no end within %v", m.Timeout)
		}
	case ctx.Err() != nil:
		crash.Reason, crash.Err = "stopped: "+context.Cause(ctx).Error(), ctx.Err()
	case errors.Is(receiveErr, guest.ErrGarbage):
		crash.Reason, crash.Err = "results port: "+receiveErr.Error(), receiveErr
	case complaint != "":
		crash.Reason, crash.Err = "qemu: "+complaint, waitErr
	case s.ready.IsZero():
		crash.Reason = "powered off before its first process answered"
	default:
		crash.Reason = "powered off before the command was done"
	}
	return crash
}
