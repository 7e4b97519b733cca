package term

import (
	"io"
	"os"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"golang.org/x/term"
)

// Screen is standard output or error where that is a terminal: nothing steers it but what
// this program means to, whoever forgot to make a text printable. It is the one place
// through which all goes that this process prints; main makes it.
type Screen struct {
	*cells.Filter
	terminal *os.File
}

// OnScreen gives what to print to: the file itself, byte for byte, where it is not a terminal.
func OnScreen(f *os.File) io.Writer {
	if !term.IsTerminal(int(f.Fd())) {
		return f
	}
	return &Screen{cells.NewFilter(f, true), f}
}

// Fd is the terminal's, by which it is asked for its width.
func (s *Screen) Fd() uintptr { return s.terminal.Fd() }

// File gives the file that is written to in the end, if it is one.
func File(w io.Writer) (*os.File, bool) {
	if s, ok := w.(*Screen); ok {
		return s.terminal, true
	}
	f, ok := w.(*os.File)
	return f, ok
}

// Clear empties a terminal, and what it has scrolled away is kept.
const Clear = "\x1b[H\x1b[2J"

// Steer sends a terminal what moves its cursor.
func Steer(w io.Writer, sequence string) error {
	if s, ok := w.(*Screen); ok {
		w = s.terminal
	}
	_, err := io.WriteString(w, sequence)
	return err
}

// GuestText gives what the text of a guest is printed to: as it is where that is no
// terminal, else as text without colours. The caller flushes it at the end.
func GuestText(w io.Writer) (to io.Writer, flush func()) {
	f, ok := File(w)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return w, func() {}
	}
	filter := cells.NewFilter(f, false)
	return filter, func() { _ = filter.Flush() }
}
