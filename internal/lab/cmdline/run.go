package cmdline

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	xterm "golang.org/x/term"

	"github.com/kmodtrace/kmodtrace/internal/lab"
	"github.com/kmodtrace/kmodtrace/internal/lab/guest"
	"github.com/kmodtrace/kmodtrace/internal/term"
)

// Run boots the machine and runs a command in it: see [lab.Run]. The command has the terminal
// where there is one, unless asText says that what it writes is to be shown as text.
func (f *Machine) Run(ctx context.Context, argv []string, asText bool, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	m, err := f.machine(ctx, stderr)
	if err != nil {
		return -1, err
	}
	m.Stdin = stdin
	var unlisten func()
	m.Signals, unlisten = quitSignals()
	defer unlisten()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	out, flush := term.GuestText(stdout)
	errOut, flushErrors := term.GuestText(stderr)
	restore := func() {}
	if screen, ok := term.File(stdout); ok && !asText {
		if restore, err = attachTerminal(&m, screen); err != nil {
			return -1, err
		}
		if m.Terminal != nil {
			out = screen
			m.Stdin = term.WatchEscape(m.Stdin, func() { end(term.ErrEscape) })
		}
	}
	defer restore()
	status, err := lab.Run(ctx, m, argv, out, errOut)
	restore()
	flush()
	flushErrors()
	return status, err
}

// quitSignals gives what asks a program to say where it is, until unlisten is called: for
// the guest's command, and not for this process.
func quitSignals() (signals <-chan os.Signal, unlisten func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGQUIT)
	return c, func() { signal.Stop(c) }
}

// attachTerminal runs the command on a terminal when both ends are one here. What
// it gives back puts the user's terminal right again, and may be called twice.
func attachTerminal(m *lab.Machine, stdout io.Writer) (restore func(), err error) {
	in, inOK := m.Stdin.(*os.File)
	out, outOK := term.File(stdout)
	if !inOK || !outOK || !xterm.IsTerminal(int(in.Fd())) || !xterm.IsTerminal(int(out.Fd())) {
		return func() {}, nil
	}
	columns, rows, err := xterm.GetSize(int(out.Fd()))
	if err != nil {
		return nil, fmt.Errorf("size of the terminal: %w", err)
	}
	old, err := xterm.MakeRaw(int(in.Fd()))
	if err != nil {
		return nil, fmt.Errorf("raw mode of the terminal: %w", err)
	}
	m.Terminal = &guest.Size{Rows: uint16(rows), Columns: uint16(columns)}
	m.Env = append(m.Env, "TERM="+os.Getenv("TERM"))
	return func() { _ = xterm.Restore(int(in.Fd()), old) }, nil
}
