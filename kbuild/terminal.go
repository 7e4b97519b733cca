package kbuild

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Terminal is what a writer has that is a terminal, or writes to one: its descriptor. To
// such an output compilers show their colours.
type Terminal interface{ Fd() uintptr }

// terminalOf gives the terminal that a writer is, or nil.
func terminalOf(w io.Writer) Terminal {
	f, ok := w.(Terminal)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return f
}

// runOnTerminal runs a command on a terminal of its own, as wide as another, so that a
// compiler shows what it shows a person. What it prints goes to out.
func runOnTerminal(cmd *exec.Cmd, out io.Writer, like Terminal) error {
	master, slave, err := openTerminal(like)
	if err != nil {
		return err
	}
	defer master.Close()
	cmd.Stdout, cmd.Stderr = slave, slave
	cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty, cmd.SysProcAttr.Ctty = false, true, true, 1
	err = cmd.Start()
	slave.Close()
	if err != nil {
		return err
	}
	copied := make(chan struct{})
	go func() {
		io.Copy(out, master) // ends by EIO when the last process has closed its end
		close(copied)
	}()
	err = cmd.Wait()
	endGroup(cmd.Process.Pid) // or the terminal would not close
	master.SetReadDeadline(time.Now().Add(grace))
	<-copied
	return err
}

// openTerminal makes a terminal that changes nothing of what is written to it.
func openTerminal(like Terminal) (master, slave *os.File, err error) {
	master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open a terminal: %w", err)
	}
	fd := int(master.Fd())
	err = errors.Join(unix.SetNonblock(fd, true), unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, nameErr := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err = errors.Join(err, nameErr); err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		master.Close()
		return nil, nil, fmt.Errorf("open a terminal: %w", err)
	}
	if like != nil {
		if size, err := unix.IoctlGetWinsize(int(like.Fd()), unix.TIOCGWINSZ); err == nil {
			_ = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, size)
		}
	}
	if mode, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS); err == nil {
		mode.Oflag &^= unix.OPOST
		_ = unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, mode)
	}
	return master, slave, nil
}
