package lab

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

const (
	// consoleTail is how much of the console an error shows, in lines, and consoleLine in
	// bytes of each.
	consoleTail = 25
	consoleLine = 500
	// consoleEnd is how much of its end is kept in memory.
	consoleEnd = 64 << 10
	// consoleMost is how much of it a file takes: a kernel that prints without end must
	// not fill the disk.
	consoleMost = 64 << 20
)

// CrashError is a guest that stopped before its command was done: the kernel
// panicked, the machine hung, or QEMU itself failed.
type CrashError struct {
	Release string // the guest's kernel
	Reason  string // what happened, in a few words
	Console string // the last lines that the kernel printed
	Err     error  // why the host ended it (context.DeadlineExceeded…), or nil
}

func (e *CrashError) Error() string {
	msg := fmt.Sprintf("guest %s: %s", e.Release, e.Reason)
	if e.Console == "" {
		return msg + "; its console is empty"
	}
	return msg + "; its console ends:\n" + e.Console
}

func (e *CrashError) Unwrap() error { return e.Err }

// console takes what the guest's kernel prints: the end of it in memory, the beginning in a
// file, and all of it to who watches.
type console struct {
	file  *os.File  // nil for none
	watch io.Writer // nil for nobody
	most  int64     // bytes in the file

	read *os.File // the host's end of the pipe
	done chan struct{}

	written int64 // to the file

	mu   sync.Mutex
	last []byte // twice consoleEnd at most
	err  error  // of the file
}

// openConsole makes the pipe from QEMU. The end that it gives is QEMU's.
func (m *Machine) openConsole() (*console, *os.File, error) {
	c := &console{watch: m.Watch, most: consoleMost, done: make(chan struct{})}
	if m.Console != "" {
		f, err := os.OpenFile(m.Console, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
		if err != nil {
			return nil, nil, fmt.Errorf("keep the console: %w", err)
		}
		c.file = f
	}
	r, w, err := os.Pipe()
	if err != nil {
		c.close()
		return nil, nil, fmt.Errorf("console: %w", err)
	}
	c.read = r
	return c, w, nil
}

// follow reads from the pipe until QEMU ends.
func (c *console) follow(pipe io.Reader) {
	defer close(c.done)
	_, _ = io.Copy(c, struct{ io.Reader }{pipe}) // its end shows in the results port
}

// Write takes what was printed. It never fails, or QEMU would hear of it.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.last = append(c.last, p...)
	if len(c.last) > 2*consoleEnd {
		c.last = append(c.last[:0], c.last[len(c.last)-consoleEnd:]...)
	}
	c.mu.Unlock()
	// A file can block, and end must not.
	if err := c.keep(p); err != nil {
		c.mu.Lock()
		c.err = err
		c.mu.Unlock()
	}
	if c.watch != nil {
		_, _ = c.watch.Write(p)
	}
	return len(p), nil
}

// keep writes to the file, until that fails or has enough.
func (c *console) keep(p []byte) error {
	if c.file == nil || c.written > c.most {
		return nil
	}
	n := min(int64(len(p)), c.most-c.written)
	c.written += int64(len(p))
	_, err := c.file.Write(p[:n])
	if err == nil && c.written > c.most {
		_, err = fmt.Fprintf(c.file, "\n[kmodtrace: the console goes on, and this file ends: it may have %d MiB]\n", c.most>>20)
	}
	if err != nil {
		c.written = c.most + 1
	}
	return err
}

// end gives the last lines, the kernel's own word for what killed it, and why the console
// could not be kept.
func (c *console) end() (tail, panicked string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	tail, panicked = readConsole(c.last, consoleTail)
	if c.err != nil {
		err = fmt.Errorf("keep the console: %w", c.err)
	}
	return tail, panicked, err
}

// text gives the last lines.
func (c *console) text(lines int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	tail, _ := readConsole(c.last, lines)
	return tail
}

func (c *console) close() {
	if c.file != nil {
		_ = c.file.Close()
	}
	if c.read != nil {
		_ = c.read.Close()
	}
}

// readConsole gives the console's last lines, and the kernel's own word for
// what killed it, "" when it printed none.
func readConsole(text []byte, most int) (tail, panicked string) {
	text = text[max(0, len(text)-consoleEnd):]
	text = bytes.ReplaceAll(text, []byte("\r"), nil)
	lines := strings.Split(strings.TrimRight(printable(string(text)), "\n"), "\n")
	for i, line := range lines {
		lines[i] = line[:min(len(line), consoleLine)]
		if _, reason, ok := strings.Cut(lines[i], "Kernel panic - not syncing: "); ok {
			panicked = reason
		}
	}
	tail = strings.Join(lines[max(0, len(lines)-most):], "\n")
	return strings.TrimSpace(tail), panicked
}

// printable drops what would move a terminal's cursor about.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r >= ' ' && r != 0x7f && r != '\uFFFD' {
			return r
		}
		return -1
	}, s)
}
