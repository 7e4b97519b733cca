package lab

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
)

// consoleTail is how much of the console an error shows, in lines.
const consoleTail = 25

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

// readConsole gives the console's last lines, and the kernel's own word for
// what killed it, "" when it printed none.
func readConsole(f *os.File) (tail, panicked string) {
	const enough = 64 << 10
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return "", ""
	}
	text := make([]byte, min(size, enough))
	if _, err := f.ReadAt(text, size-int64(len(text))); err != nil {
		return "", ""
	}
	text = bytes.ReplaceAll(text, []byte("\r"), nil)
	lines := strings.Split(strings.TrimRight(printable(string(text)), "\n"), "\n")
	for _, line := range lines {
		if _, reason, ok := strings.Cut(line, "Kernel panic - not syncing: "); ok {
			panicked = reason
		}
	}
	tail = strings.Join(lines[max(0, len(lines)-consoleTail):], "\n")
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
