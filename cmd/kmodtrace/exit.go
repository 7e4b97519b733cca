package main

import (
	"errors"
	"syscall"

	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/follow"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/proof"
	"github.com/kmodtrace/kmodtrace/reload"
)

// Exit statuses: the published contract of every command (docs/compatibility.md). Where a program or a machine
// was run for the command, more is possible: see below, and exitLab.
const (
	exitOK          = 0 // done, and where a kernel event can confirm it, confirmed
	exitRefused     = 1 // the kernel, the system or a file said no, or what was asked for was found wrong
	exitUsage       = 2 // the command line makes no sense
	exitUnconfirmed = 3 // not known: of check, and a system call's answer without the kernel event that proves it, or against it
	exitNoTrace     = 4 // this kernel, or this user, cannot trace here; this machine cannot build
	exitLost        = 5 // the answer may be incomplete: something was lost or not shown, hooks were disturbed, or nobody watched
)

// The exit statuses of programs that run programs (env, sudo, a shell).
const (
	exitCannotStart = 126 // it is there and cannot be started
	exitNotFound    = 127
)

// exitError is an error that knows its exit status and what to do next.
type exitError struct {
	status int
	err    error
	hint   string         // what to do next; may be empty
	signal syscall.Signal // that ended a command, and so ends this process; else 0
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }
func (e *exitError) Hint() string  { return e.hint }

// statusOf maps an error to its exit status: a command's own errors have one, and those of
// the libraries are in the table here.
func statusOf(err error) int {
	var e *exitError
	var usage *cli.UsageError
	var notBegun *follow.NotBegunError
	var start *follow.StartError
	var incomplete *cli.IncompleteError
	var unable *cli.UnableError
	var failures *cli.FailuresError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &failures):
		worst := exitOK
		for _, one := range failures.All {
			worst = max(worst, statusOf(one))
		}
		return worst
	case errors.As(err, &e):
		return e.status
	case errors.As(err, &notBegun):
		return 128 + int(notBegun.Signal)
	case errors.As(err, &start) && start.NotFound:
		return exitNotFound
	case errors.As(err, &start):
		return exitCannotStart
	case errors.Is(err, follow.ErrNotSeen), errors.As(err, &unable):
		return exitNoTrace
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &incomplete):
		return exitLost
	case errors.Is(err, reload.ErrDown), errors.Is(err, proof.ErrUnconfirmed), errors.Is(err, proof.ErrContradicted):
		return exitUnconfirmed
	default: // proof.ErrRefused, and all that was not done at all
		return exitRefused
	}
}

// signalOf gives the signal by which this process has to end, or 0.
func signalOf(err error) syscall.Signal {
	var e *exitError
	var notBegun *follow.NotBegunError
	switch {
	case errors.As(err, &e):
		return e.signal
	case errors.As(err, &notBegun):
		return notBegun.Signal
	}
	return 0
}

// endError ends this process as the command ended.
func endError(status syscall.WaitStatus) error {
	switch {
	case status.Signaled():
		return &exitError{status: 128 + int(status.Signal()), err: term.ErrSilent, signal: status.Signal()}
	case status.ExitStatus() != 0:
		return &exitError{status: status.ExitStatus(), err: term.ErrSilent}
	}
	return nil
}
