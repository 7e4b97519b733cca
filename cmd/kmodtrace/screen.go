package main

import (
	"io"
	"os"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"golang.org/x/term"
)

// screen is standard output or error where that is a terminal: nothing steers it but what
// this program means to, whoever forgot to make a text printable. It is the one place
// through which all goes that this process prints; main makes it.
type screen struct {
	*cells.Filter
	terminal *os.File
}

// onScreen gives what to print to: the file itself, byte for byte, where it is no terminal.
func onScreen(f *os.File) io.Writer {
	if !term.IsTerminal(int(f.Fd())) {
		return f
	}
	return &screen{cells.NewFilter(f, true), f}
}

// Fd is the terminal's, by which it is asked for its width.
func (s *screen) Fd() uintptr { return s.terminal.Fd() }

// underlying gives the file that is written to in the end, if it is one.
func underlying(w io.Writer) (*os.File, bool) {
	if s, ok := w.(*screen); ok {
		return s.terminal, true
	}
	f, ok := w.(*os.File)
	return f, ok
}

// steer sends a terminal what moves its cursor.
func steer(w io.Writer, sequence string) error {
	if s, ok := w.(*screen); ok {
		w = s.terminal
	}
	_, err := io.WriteString(w, sequence)
	return err
}

// guestText gives what the text of a guest is printed to: as it is where that is no
// terminal, else as text without colours. The caller flushes it at the end.
func guestText(w io.Writer) (to io.Writer, flush func()) {
	f, ok := underlying(w)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return w, func() {}
	}
	filter := cells.NewFilter(f, false)
	return filter, func() { _ = filter.Flush() }
}
