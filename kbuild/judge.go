package kbuild

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// FailedError is a build that the compiler or kbuild refused.
type FailedError struct {
	Complaint string // the first one, in one line
	Advice    string // what to do, where that is known; may be empty
	Err       error  // how make ended; nil when it found nothing wrong
}

func (e *FailedError) Error() string { return e.Complaint }
func (e *FailedError) Unwrap() error { return e.Err }

// ErrNoModules is a build of which no module came.
var ErrNoModules = errors.New("no module came out")

// judge tells what make's end means.
func (b *build) judge(err error, heard *listener) error {
	switch {
	case heard.circular != "": // older kernels go on, and make a module without that source
		name := strings.TrimSuffix(filepath.Base(heard.circular), ".o")
		return &FailedError{Complaint: fmt.Sprintf("module %s has a source %s.c among several: a module must be called otherwise than its parts", name, name), Err: err}
	case err == nil:
		return nil
	case heard.full:
		return &FailedError{Complaint: unix.ENOSPC.Error() + " where builds are kept, in " + b.mirror.root,
			Advice: "KMODTRACE_CACHE=DIR keeps them elsewhere", Err: errors.Join(unix.ENOSPC, err)}
	case len(heard.missing) > 0 && !hasErrors(heard.diagnostics):
		return &MissingError{Kernel: b.result.Kernel.Release, things: heard.missing, Distribution: system{root: b.Root}.distribution()}
	}
	failed := &FailedError{Complaint: heard.first(), Err: err}
	if heard.unknown {
		failed.Advice = b.tools.differs(&b.result.Kernel)
	}
	return failed
}

func hasErrors(diagnostics []Diagnostic) bool {
	for _, d := range diagnostics {
		if d.Severity == Fatal {
			return true
		}
	}
	return false
}
