package act

import (
	"errors"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/kmod"
)

// TargetError is about what was asked for, before the kernel was: names and parameters that cannot
// be are the command line's fault.
func TargetError(err error) error {
	if errors.Is(err, kmod.ErrBadName) || errors.Is(err, kmod.ErrBadParams) {
		return cli.Usagef("%w", cells.OneLine(err))
	}
	return cells.OneLine(err)
}

// FileError is [TargetError] for a file that a command was given, in that command's words
// whatever found it out.
func FileError(command, file string, err error) error {
	return TargetError(&kmod.Error{Op: command, Module: file, Err: bareCause(err)})
}

// bareCause takes off the operation and the file, which the caller names itself.
func bareCause(err error) error {
	if e, ok := err.(*kmod.Error); ok {
		return e.Err
	}
	return err
}
