// Package cli has what the commands and the packages behind them share about a command line: errors of
// usage, what to do next about an error, and completions. It knows no exit statuses.
package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// LogFlag is the flag that every command has: how diagnostics are printed.
const LogFlag = "log"

// UsageError says that a command line makes no sense.
type UsageError struct{ err error }

func (e *UsageError) Error() string { return e.err.Error() }
func (e *UsageError) Unwrap() error { return e.err }

// Usagef makes a [UsageError].
func Usagef(format string, args ...any) error { return &UsageError{fmt.Errorf(format, args...)} }

// IncompleteError says that an answer was given, and in what it may be incomplete.
type IncompleteError struct{ Text string }

func (e *IncompleteError) Error() string { return e.Text }

// UnableError says that this kernel, this user or this machine lacks what a command needs, so that
// nothing was done.
type UnableError struct {
	err  error
	hint string
}

func (e *UnableError) Error() string { return e.err.Error() }
func (e *UnableError) Unwrap() error { return e.err }
func (e *UnableError) Hint() string  { return e.hint }

// Unable makes an [UnableError], with what to do about it.
func Unable(err error, hint string) error { return &UnableError{err, hint} }

type hinted struct {
	error
	hint string
}

func (e *hinted) Unwrap() error { return e.error }
func (e *hinted) Hint() string  { return e.hint }

// WithHint adds to an error what to do next about it.
func WithHint(err error, hint string) error { return &hinted{err, hint} }

// HintOf gives what to do next about an error, or an empty string.
func HintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

// Answered tells whether an error needs no more words: it is about the command line, says what to
// do next, or comes beside an answer.
func Answered(err error) bool {
	var usage *UsageError
	var incomplete *IncompleteError
	return errors.As(err, &usage) || errors.As(err, &incomplete) || HintOf(err) != ""
}

// MustComplete offers a shell the values of a flag. The only error that cobra has
// is a flag that there is not.
func MustComplete(cmd *cobra.Command, flag string, words []string) {
	MustCompleteBy(cmd, flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// MustCompleteBy is MustComplete for values that take work to know: it is done when a shell
// asks, and not at each start of the program.
func MustCompleteBy(cmd *cobra.Command, flag string, complete cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err)
	}
}
