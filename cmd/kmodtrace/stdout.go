package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"golang.org/x/term"
)

// printTo runs fn on a buffered writer and makes a failed write the command's error.
func printTo(w io.Writer, fn func(io.Writer) error) error {
	buffered := bufio.NewWriter(w)
	if err := fn(buffered); err != nil {
		return outputError(err)
	}
	return outputError(buffered.Flush())
}

// outputError says in one line that the answer did not arrive. A reader that closed
// its end of a pipe knows already.
func outputError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EPIPE):
		return &exitError{status: exitRefused, err: errors.New("")}
	}
	return fmt.Errorf("write output: %w", err)
}

// printJSON prints one value, indented. What would steer a terminal is escaped as in [jsonLine].
func printJSON(w io.Writer, value any) error {
	return printTo(w, func(w io.Writer) error {
		var b bytes.Buffer
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(value); err != nil {
			return err
		}
		_, err := w.Write(cells.EscapeJSON(b.Bytes()))
		return err
	})
}

// terminalWidth gives the columns of the terminal that w is, or 0.
func terminalWidth(w io.Writer) int {
	f, ok := underlying(w)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}
