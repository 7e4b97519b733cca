package follow

import (
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// relay stands between a command and whoever sends signals to it: what comes to this
// process is passed on, and where the command stops, so does this process, for the
// shell that both are a job of.
//
// Neither os/exec nor os/signal can do that, which is why system calls are made here.
// os/exec reports only that a command has ended, not that it was stopped or continued, and
// does not wait for descendants that were left to this process. os/signal knows of a
// signal that was ignored from the start only for SIGHUP and SIGINT, and cannot give one the
// kernel's own effect; golang.org/x/sys has no sigaction, and its Siginfo no pid.
type relay struct {
	signals  chan os.Signal
	children chan os.Signal
	// orphans is told that a descendant may have ended that nobody else waits for.
	orphans  chan struct{}
	terminal *os.File // that controls this process; nil without one
	// apart tells that the command is in a session of its own, and own is its terminal there,
	// if it has one.
	apart bool
	own   *ownTerminal
}

// NewRelay catches signals from now on. Those that whoever started this process chose to
// ignore (nohup, a shell's background job) stay ignored, here and in the command.
func NewRelay() *relay {
	r := &relay{
		signals:  make(chan os.Signal, 64),
		children: make(chan os.Signal, 1),
		orphans:  make(chan struct{}, 1),
	}
	// Until now these were caught to end a command of ours, the first ignored or not.
	signal.Reset(syscall.SIGINT, syscall.SIGHUP)
	for _, s := range relayedSignals() {
		if !Ignores(s) {
			signal.Notify(r.signals, s)
		}
	}
	signal.Notify(r.children, syscall.SIGCHLD)
	r.terminal, _ = os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY, 0)
	return r
}

// Stop ends all catching.
func (r *relay) Stop() {
	signal.Stop(r.signals)
	signal.Stop(r.children)
	if r.terminal != nil {
		_ = r.terminal.Close()
	}
}

// relayedSignals are all that mean something to a command, but those that nobody can
// catch and those that the kernel sends for a thread's own faults.
func relayedSignals() []syscall.Signal {
	signals := []syscall.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGTERM,
		syscall.SIGCONT, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGWINCH, syscall.SIGIO, syscall.SIGPWR,
	}
	const firstRealTime, last = 34, 64
	for s := syscall.Signal(firstRealTime); s <= last; s++ {
		signals = append(signals, s)
	}
	return signals
}

// Asked gives a signal that came meanwhile and asks to end; 0 if there was none.
func (r *relay) Asked() syscall.Signal {
	for {
		select {
		case s := <-r.signals:
			if asksToEnd(s) {
				return s.(syscall.Signal)
			}
		default:
			return 0
		}
	}
}

func asksToEnd(s os.Signal) bool {
	return slices.Contains([]os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM}, s)
}

// Has tells of the program what matters to the relay, once it is started.
func (r *relay) Has(p *program) {
	r.apart, r.own = p.apart(), p.Terminal
}

// follow passes signals on to the command until it has ended, and gives how. No signal
// goes to its pid after that.
func (r *relay) follow(pid int) syscall.WaitStatus {
	for {
		select {
		case s := <-r.signals:
			r.pass(pid, s.(syscall.Signal))
		case <-r.children:
			select {
			case r.orphans <- struct{}{}:
			default:
			}
			if status, ended := changeOf(pid); ended {
				// From now on a terminal stops this process as any other.
				for _, s := range []syscall.Signal{syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU} {
					setDefault(s)
				}
				return status
			}
		}
	}
}

// pass sends a signal on, unless the command has it from the same sender: a terminal
// sends to all of the process group that has it.
func (r *relay) pass(pid int, s syscall.Signal) {
	if r.apart && r.passApart(pid, s) {
		return
	}
	switch s {
	case syscall.SIGTTIN, syscall.SIGTTOU:
		return
	case syscall.SIGCONT:
		if continued(pid) {
			return
		}
	case syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGWINCH:
		if r.inForeground() {
			return
		}
	}
	// That it may have ended is the next thing to be heard.
	_ = unix.Kill(pid, s)
}

// passApart passes on what a terminal and a shell send to a job: the command is none of
// theirs where it has a session of its own.
func (r *relay) passApart(pid int, s syscall.Signal) bool {
	switch s {
	case syscall.SIGTSTP: // which the kernel would drop: no shell is in that session
		if r.own != nil {
			r.own.stop()
			return true
		}
		_ = unix.Kill(-pid, unix.SIGSTOP)
		_ = unix.Kill(os.Getpid(), unix.SIGSTOP)
	case syscall.SIGCONT:
		if r.own != nil {
			r.own.continued()
			return true
		}
		_ = unix.Kill(-pid, unix.SIGCONT)
	case syscall.SIGWINCH:
		if r.own != nil {
			r.own.resize() // which has the kernel tell the command
		}
	case syscall.SIGINT, syscall.SIGQUIT:
		_ = unix.Kill(-pid, s)
	default:
		return false
	}
	return true
}

// inForeground tells whether this process's group has the terminal.
func (r *relay) inForeground() bool {
	if r.terminal == nil {
		return false
	}
	group, err := unix.IoctlGetInt(int(r.terminal.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// changeOf takes what became of the command. Where a terminal or its user stopped it, this
// process stops too, until it is continued. SIGSTOP is not followed: whoever sends that
// to the command alone will continue it alone.
func changeOf(pid int) (status syscall.WaitStatus, ended bool) {
	for {
		got, err := syscall.Wait4(pid, &status, syscall.WNOHANG|syscall.WUNTRACED, nil)
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil || got == 0:
			return 0, false
		case !status.Stopped():
			return status, true
		case status.StopSignal() != syscall.SIGSTOP:
			_ = unix.Kill(os.Getpid(), unix.SIGSTOP)
		}
	}
}

// continued tells whether the command has been stopped and continued since it was last
// asked for.
func continued(pid int) bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, pid, &info, unix.WCONTINUED|unix.WNOHANG, nil)
	return err == nil && info.Signo == int32(unix.SIGCHLD)
}

// reapOrphans waits for all that have ended but the command. No other child of this
// process may be under way meanwhile.
func reapOrphans(command int) {
	for {
		var info unix.Siginfo
		if err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err == unix.EINTR {
			continue
		} else if err != nil {
			return
		}
		pid := childOf(&info)
		if pid == 0 || pid == command {
			return
		}
		_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
	}
}

// childInfo is the beginning of siginfo_t as waitid fills it on kernels of 64 bits. Go's type
// has a name only for the three numbers that all signals have.
type childInfo struct {
	_, _, _ int32
	_       int32 // aligns what follows
	pid     int32
}

// childOf gives the child that waitid speaks of; 0 is none.
func childOf(info *unix.Siginfo) int { return int((*childInfo)(unsafe.Pointer(info)).pid) }

// BecomeSubreaper makes this process the parent of descendants whose parent ends, as
// long as it lives: a daemon of the command's stays a descendant.
func BecomeSubreaper() error {
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

// DieBy ends this process by a signal, as it ended a command: whoever waits for this
// process sees the same. It returns where the signal does not kill.
func DieBy(s syscall.Signal) {
	runtime.LockOSThread()
	// The command has left its core file; another would take its place.
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	setDefault(s)
	var set unix.Sigset_t
	set.Val[0] = 1 << (s - 1)
	_ = unix.PthreadSigmask(unix.SIG_UNBLOCK, &set, nil)
	_ = unix.Tgkill(os.Getpid(), unix.Gettid(), s)
}

// sigaction is the kernel's struct of that name; its first word is the handler, and the
// default one is zero.
type sigaction [4]uint64

// Ignores tells whether this process ignores a signal. os/signal knows only of some.
func Ignores(s syscall.Signal) bool {
	const ignore = 1 // SIG_IGN
	var now sigaction
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), 0, uintptr(unsafe.Pointer(&now)), 8, 0, 0)
	return errno == 0 && now[0] == ignore
}

// setDefault gives a signal the kernel's own effect, which Go does not do: with its
// handler in place SIGQUIT prints all goroutines, and SIGTTOU, when a background process
// writes to a terminal that wants none of that, has the write tried for ever.
func setDefault(s syscall.Signal) {
	var none sigaction
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&none)), 0, 8, 0, 0)
}
