// Package diag prints diagnostics: all that a command says beside its results, on standard error, as
// lines for people or, by --log json, as objects for whatever collects logs. A command finds
// its logger in its context (zerolog.Ctx).
package diag

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/lab"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

// Format is the value of --log.
type Format string

const (
	Text Format = "text"
	JSON Format = "json"
)

func (f *Format) String() string { return string(*f) }
func (f *Format) Type() string   { return "FORMAT" }

func (f *Format) Set(s string) error {
	switch Format(s) {
	case Text, JSON:
		*f = Format(s)
		return nil
	}
	return fmt.Errorf("want %s or %s", Text, JSON)
}

// HintField is what to do next, a line of its own in text.
const HintField = "hint"

// AddFlag adds --log to all commands.
func AddFlag(root *cobra.Command) {
	format := Text
	root.PersistentFlags().Var(&format, cli.LogFlag, "how to print diagnostics on standard error: text or json")
	cli.MustComplete(root, cli.LogFlag, []string{string(Text), string(JSON)})
	root.PersistentPreRun = func(cmd *cobra.Command, _ []string) {
		cmd.SetContext(Of(root, cmd.ErrOrStderr()).WithContext(cmd.Context()))
	}
}

// Of writes diagnostics to stderr in the format that was asked for.
func Of(root *cobra.Command, stderr io.Writer) zerolog.Logger {
	return New(Format(root.PersistentFlags().Lookup(cli.LogFlag).Value.String()), stderr)
}

// New writes diagnostics in a format.
func New(format Format, out io.Writer) zerolog.Logger {
	if format == JSON {
		return zerolog.New(jsonLog{out}).With().Timestamp().Logger()
	}
	return zerolog.New(plainLog{out})
}

// linesField has what an error says in more than one line. A line end in a message is
// somebody's name or an error's text, and no further line.
const linesField = "lines"

// Error makes an error a diagnostic.
func Error(e *zerolog.Event, err error) {
	if lines := errorLines(err); len(lines) > 1 {
		e = e.Strs(linesField, lines)
	}
	e.Msg(err.Error())
}

// errorLines gives what an error says, a line for each of several errors that it is made
// of, and for each of a guest's console.
func errorLines(err error) []string {
	text := err.Error()
	if !strings.Contains(text, "\n") {
		return []string{text}
	}
	var crash *lab.CrashError
	if errors.As(err, &crash) && crash.Console != "" && strings.HasSuffix(text, crash.Console) {
		lines := []string{strings.TrimSpace(strings.TrimSuffix(text, crash.Console))}
		for line := range strings.SplitSeq(crash.Console, "\n") {
			lines = append(lines, "  │ "+line)
		}
		return lines
	}
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		var lines []string
		size := -1
		for _, part := range all.Unwrap() {
			lines = append(lines, errorLines(part)...)
			size += 1 + len(part.Error())
		}
		if size == len(text) { // they stand in it alone, each after a line end
			return lines
		}
	}
	if inner := errors.Unwrap(err); inner != nil && inner.Error() == text {
		return errorLines(inner)
	}
	return []string{text}
}

// jsonLog writes diagnostics as objects, of which nothing steers a terminal.
type jsonLog struct{ out io.Writer }

func (w jsonLog) Write(line []byte) (int, error) {
	if _, err := w.out.Write(cells.EscapeJSON(line)); err != nil {
		return 0, err
	}
	return len(line), nil
}

// plainLog writes a diagnostic as "kmodtrace: message", and its hint below. The
// fields are for programs: what a person needs of them is in the message. Here, and so
// wherever it comes from, a diagnostic is made printable.
type plainLog struct{ out io.Writer }

func (w plainLog) Write(line []byte) (int, error) {
	var said struct {
		Message, Hint string
		Lines         []string
	}
	if err := json.Unmarshal(line, &said); err != nil {
		return 0, err
	}
	var b strings.Builder
	switch {
	case len(said.Lines) > 0:
		fmt.Fprintf(&b, "kmodtrace: %s\n", cells.Printable(said.Lines[0]))
		for _, line := range said.Lines[1:] {
			fmt.Fprintf(&b, "%s\n", cells.Printable(line))
		}
	case said.Message != "":
		fmt.Fprintf(&b, "kmodtrace: %s\n", cells.Printable(said.Message))
	}
	if said.Hint != "" {
		fmt.Fprintf(&b, "  %s\n", cells.Printable(said.Hint))
	}
	if _, err := io.WriteString(w.out, b.String()); err != nil {
		return 0, err
	}
	return len(line), nil
}
