package guest

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// listener takes what the host sends while the command runs.
type listener struct {
	pid    int // the command, which leads its session and its process group
	frames *Writer

	// input is what the command has not read yet. A command that hangs reads nothing, and
	// must get a signal nevertheless. The host sends no empty frame, and [Window] bytes at
	// most before it has credit: so there is always room.
	input chan []byte
	end   sync.Once
}

func newListener(pid int, frames *Writer) *listener {
	return &listener{pid: pid, frames: frames, input: make(chan []byte, Window)}
}

// listen takes frames until the port ends.
func (l *listener) listen(in *Reader, stdin io.WriteCloser) {
	go l.feed(stdin)
	defer l.endInput()
	ended := false
	for {
		frame, err := in.Next()
		if err != nil {
			return
		}
		switch frame.Kind {
		case Stdin:
			if !ended {
				l.input <- bytes.Clone(frame.Payload)
			}
		case Signal:
			if err := l.signal(frame); err != nil {
				_ = l.frames.trouble(err)
			}
		default:
			ended = true
			l.endInput()
		}
	}
}

func (l *listener) endInput() { l.end.Do(func() { close(l.input) }) }

// feed hands the host's standard input to the command, and the credit for it back to the
// host. A command that closed its input gets the rest dropped.
func (l *listener) feed(stdin io.WriteCloser) {
	defer stdin.Close()
	for text := range l.input {
		_, _ = stdin.Write(text) // EPIPE: nobody reads it, which is the command's right
		if l.frames.WriteUint(Credit, uint32(len(text))) != nil {
			return
		}
	}
}

// signal passes a signal on to the command and its children, as a terminal does.
func (l *listener) signal(frame Frame) error {
	n, err := frame.Uint()
	if err != nil {
		return err
	}
	signal := unix.Signal(n)
	if unix.SignalName(signal) == "" {
		return fmt.Errorf("signal %d for the command: there is no such signal", n)
	}
	if signal == unix.SIGQUIT && IsInit() {
		showBlocked()
	}
	// It fails only when the command has ended, and the machine with it.
	_ = unix.Kill(-l.pid, signal)
	return nil
}

// showBlocked has the kernel print the stacks of the tasks that wait in it and cannot be
// woken: a command that hangs there can print nothing itself. It is on the console, which
// the host shows of a machine that it has to end.
func showBlocked() {
	_ = os.WriteFile("/proc/sys/kernel/printk", []byte("7"), 0)
	_ = os.WriteFile("/proc/sysrq-trigger", []byte("w"), 0)
}
