package term

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/jsonline"
	"golang.org/x/term"
)

// PrintTo runs fn on a buffered writer and makes a failed write the command's error.
func PrintTo(w io.Writer, fn func(io.Writer) error) error {
	buffered := bufio.NewWriter(w)
	if err := fn(buffered); err != nil {
		return OutputError(err)
	}
	return OutputError(buffered.Flush())
}

// OutputError says in one line that the answer did not arrive. A reader that closed
// its end of a pipe knows already.
func OutputError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EPIPE):
		return ErrSilent
	}
	return fmt.Errorf("write output: %w", err)
}

// PrintJSON prints one value, indented. What would steer a terminal is escaped as in [JSONLine].
func PrintJSON(w io.Writer, value any) error {
	return PrintTo(w, func(w io.Writer) error {
		text, err := jsonline.MarshalIndent(value)
		if err != nil {
			return err
		}
		_, err = w.Write(append(cells.EscapeJSON(text), '\n'))
		return err
	})
}

// Width gives the columns of the terminal that w is, or 0.
func Width(w io.Writer) int {
	f, ok := File(w)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// ErrSilent is an error that needs no words: whoever it concerns knows already.
var ErrSilent = errors.New("")
