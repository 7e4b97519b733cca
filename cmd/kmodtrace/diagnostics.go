package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

// Diagnostics are all that a command says beside its results: on standard error, as
// lines for people or, by --log json, as objects for whatever collects logs. A
// command finds its logger in its context (zerolog.Ctx).

// logFormat is the value of --log.
type logFormat string

const (
	logText logFormat = "text"
	logJSON logFormat = "json"
)

func (f *logFormat) String() string { return string(*f) }
func (f *logFormat) Type() string   { return "FORMAT" }

func (f *logFormat) Set(s string) error {
	switch logFormat(s) {
	case logText, logJSON:
		*f = logFormat(s)
		return nil
	}
	return fmt.Errorf("want %s or %s", logText, logJSON)
}

// hintField is what to do next, a line of its own in text.
const hintField = "hint"

const logFlag = "log"

// addLogFlag adds --log to all commands.
func addLogFlag(root *cobra.Command) {
	format := logText
	root.PersistentFlags().Var(&format, logFlag, "how to print diagnostics on standard error: text or json")
	mustComplete(root, logFlag, []string{string(logText), string(logJSON)})
	root.PersistentPreRun = func(cmd *cobra.Command, _ []string) {
		cmd.SetContext(logger(root, cmd.ErrOrStderr()).WithContext(cmd.Context()))
	}
}

// logger writes diagnostics to stderr in the format that was asked for.
func logger(root *cobra.Command, stderr io.Writer) zerolog.Logger {
	if root.PersistentFlags().Lookup(logFlag).Value.String() == string(logJSON) {
		return zerolog.New(stderr).With().Timestamp().Logger()
	}
	return zerolog.New(plainLog{stderr})
}

// plainLog writes a diagnostic as "kmodtrace: message", and its hint below. The
// fields are for programs: what a person needs of them is in the message.
type plainLog struct{ out io.Writer }

func (w plainLog) Write(line []byte) (int, error) {
	var said struct{ Message, Hint string }
	if err := json.Unmarshal(line, &said); err != nil {
		return 0, err
	}
	var b strings.Builder
	if said.Message != "" {
		fmt.Fprintf(&b, "kmodtrace: %s\n", said.Message)
	}
	if said.Hint != "" {
		fmt.Fprintf(&b, "  %s\n", said.Hint)
	}
	if _, err := io.WriteString(w.out, b.String()); err != nil {
		return 0, err
	}
	return len(line), nil
}
