package follow

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	xterm "golang.org/x/term"
)

// ownTerminal is a terminal that a command of another user has for itself. With root's
// own it could type into root's shell (TIOCSTI, which kernels have before 6.2 and may
// have after), and change how it behaves. What is typed and shown goes through here.
type ownTerminal struct {
	master, slave *os.File
	fd            int      // the master's: File.Fd would make it block, and it could not be ended
	shown         *os.File // the user's terminal
	input         *os.File // the same, where the command's input is from there; else nil
	ended, copied chan struct{}
	pid           int // of the command, which leads its session

	mu  sync.Mutex
	old *xterm.State // of the user's terminal while it is raw; nil when it is not
}

// NewOwnTerminal gives a terminal where any of this process's own files is one, and nil
// where none is.
func NewOwnTerminal(owner int) (*ownTerminal, error) {
	var shown *os.File
	for _, f := range []*os.File{os.Stdout, os.Stderr, os.Stdin} {
		if xterm.IsTerminal(int(f.Fd())) {
			shown = f
			break
		}
	}
	if shown == nil {
		return nil, nil
	}
	o := &ownTerminal{shown: shown, ended: make(chan struct{}), copied: make(chan struct{})}
	if err := o.open(owner); err != nil {
		return nil, fmt.Errorf("a terminal for the command: %w", err)
	}
	if xterm.IsTerminal(int(os.Stdin.Fd())) {
		o.input = os.Stdin
	}
	if mode, err := unix.IoctlGetTermios(int(shown.Fd()), unix.TCGETS); err == nil {
		_ = unix.IoctlSetTermios(int(o.slave.Fd()), unix.TCSETS, mode)
	}
	o.resize()
	return o, nil
}

// open makes the terminal, and gives it to its owner. Reading from it can be ended, which
// what the library of pseudo-terminals opens does not allow.
func (o *ownTerminal) open(owner int) error {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	o.fd, o.master = fd, os.NewFile(uintptr(fd), "/dev/ptmx")
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	err = errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	if err == nil {
		o.slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err == nil {
		if err = o.slave.Chown(owner, -1); err != nil {
			o.slave.Close()
		}
	}
	if err != nil {
		o.master.Close()
	}
	return err
}

// files are what the command gets in place of a terminal of this process's.
func (o *ownTerminal) files() []uintptr {
	var all []uintptr
	for _, f := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		if xterm.IsTerminal(int(f.Fd())) {
			f = o.slave
		}
		all = append(all, f.Fd())
	}
	return all
}

// resize makes it as large as the user's.
func (o *ownTerminal) resize() {
	if size, err := unix.IoctlGetWinsize(int(o.shown.Fd()), unix.TIOCGWINSZ); err == nil {
		_ = unix.IoctlSetWinsize(o.fd, unix.TIOCSWINSZ, size)
	}
}

// begin relays from when the command is there.
func (o *ownTerminal) begin(pid int) {
	o.pid = pid
	o.slave.Close()
	go o.show()
	if o.input == nil {
		return
	}
	o.raw()
	go o.typed()
}

// terminalQuiet is how long nothing comes when all has come that the command wrote, and
// terminalHolds is more than the kernel can hold of it.
const (
	terminalQuiet = 200 * time.Millisecond
	terminalHolds = 256 << 10
)

// show shows what comes until nobody has the other end or, once the command has ended,
// until all of it is there: others may go on writing.
func (o *ownTerminal) show() {
	defer close(o.copied)
	text := make([]byte, 32<<10)
	for after := 0; after < terminalHolds; {
		n, err := o.master.Read(text)
		if _, writeErr := o.shown.Write(text[:n]); err != nil || writeErr != nil {
			return
		}
		select {
		case <-o.ended:
			after += n
			_ = o.master.SetReadDeadline(time.Now().Add(terminalQuiet))
		default:
		}
	}
}

// raw has the user's terminal pass on every key, unless another job has it: then, when
// this one is continued.
func (o *ownTerminal) raw() {
	o.mu.Lock()
	defer o.mu.Unlock()
	group, err := unix.IoctlGetInt(int(o.input.Fd()), unix.TIOCGPGRP)
	if o.old != nil || err != nil || group != unix.Getpgrp() {
		return
	}
	o.old, _ = xterm.MakeRaw(int(o.input.Fd()))
}

// restore puts the user's terminal right again.
func (o *ownTerminal) restore() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.old != nil {
		_ = xterm.Restore(int(o.input.Fd()), o.old)
		o.old = nil
	}
}

// typed passes on what is typed, but for the key that stops a job: the command's own
// session has no shell that could continue it.
func (o *ownTerminal) typed() {
	keys := make([]byte, 1024)
	for {
		n, err := o.input.Read(keys)
		if err != nil || n == 0 {
			// What ends a terminal's input is a key too. Without a terminal, the command is told.
			if err == nil || errors.Is(err, io.EOF) {
				_, _ = o.master.Write([]byte{4})
			}
			return
		}
		if at := bytes.IndexByte(keys[:n], o.stopKey()); at >= 0 && o.stops() {
			_, _ = o.master.Write(keys[:at])
			o.stop()
			continue
		}
		if _, err := o.master.Write(keys[:n]); err != nil {
			return
		}
	}
}

// stopKey is the key that stops what runs in the command's terminal.
func (o *ownTerminal) stopKey() byte {
	mode, err := unix.IoctlGetTermios(o.fd, unix.TCGETS)
	if err != nil || mode.Lflag&unix.ISIG == 0 {
		return 0
	}
	return mode.Cc[unix.VSUSP]
}

// stops tells whether the command is what the key would stop, and has no other idea of it.
func (o *ownTerminal) stops() bool {
	group, err := unix.IoctlGetInt(o.fd, unix.TIOCGPGRP)
	return o.stopKey() != 0 && err == nil && group == o.pid && !handles(o.pid, syscall.SIGTSTP)
}

// handles tells whether a process ignores or catches a signal.
func handles(pid int, s syscall.Signal) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(text)) {
		name, mask, _ := strings.Cut(line, ":")
		set, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
		if (name == "SigIgn" || name == "SigCgt") && err == nil && set&(1<<(s-1)) != 0 {
			return true
		}
	}
	return false
}

// stop stops the command and then this process's group, for the shell whose job it is,
// until that continues it.
func (o *ownTerminal) stop() {
	_ = unix.Kill(-o.pid, unix.SIGSTOP)
	o.restore()
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	defer signal.Stop(continued)
	_ = unix.Kill(0, unix.SIGSTOP)
	<-continued
	o.continued()
}

// continued goes on after a stop.
func (o *ownTerminal) continued() {
	o.resize()
	if o.input != nil {
		o.raw()
	}
	_ = unix.Kill(-o.pid, unix.SIGCONT)
}

// End shows what the command has still written, and gives the user's terminal back.
func (o *ownTerminal) End() {
	close(o.ended)
	_ = o.master.SetReadDeadline(time.Now().Add(terminalQuiet))
	<-o.copied
	o.restore()
	o.master.Close()
}
