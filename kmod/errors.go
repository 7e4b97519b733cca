package kmod

import (
	"errors"
	"fmt"

	"github.com/kmodtrace/kmodtrace/internal/cells"
)

// Sentinels: what went wrong, as far as this package can tell. They are reached
// with [errors.Is]; an errno of the kernel, where one exists, stays reachable
// beside them.
var (
	// ErrBadName: the text cannot be the name of a module.
	ErrBadName = errors.New("not a module name")
	// ErrBadParams: the kernel could not take these parameters as they are meant.
	ErrBadParams = errors.New("bad module parameters")
	// ErrNotFound: no such file, or no module of that name on this system.
	ErrNotFound = errors.New("module not found")
	// ErrNotModule: the file is not a kernel module, or is damaged.
	ErrNotModule = errors.New("not a kernel module")
	// ErrNotELF: the file does not even begin as one. It is an ErrNotModule too.
	ErrNotELF = fmt.Errorf("%w: it does not begin as an ELF file", ErrNotModule)
	// ErrCompression: what is compressed in the file cannot be restored. It is an
	// ErrNotModule too.
	ErrCompression = fmt.Errorf("%w: its compression is damaged", ErrNotModule)
	// ErrTooBig: the file, or what it decompresses to, is over this package's bounds.
	ErrTooBig = errors.New("too big")
	// ErrBuiltin: the module is part of the kernel image: nothing to load, nothing to unload.
	ErrBuiltin = errors.New("built into the kernel")
	// ErrLoaded: the kernel has a module of that name already (errno EEXIST, which an init may
	// return too).
	ErrLoaded = errors.New("already loaded")
	// ErrNotLoaded: the kernel has no module of that name (errno ENOENT).
	ErrNotLoaded = errors.New("not loaded")
	// ErrInUse: something holds the module: another module, or a reference (errno EAGAIN).
	ErrInUse = errors.New("in use")
	// ErrInstallCommand: the configuration of modprobe replaces the load by a command.
	ErrInstallCommand = errors.New("the modprobe configuration runs a command instead of loading it")
	// ErrNotAsked: the kernel was not asked, because it might not survive the answer.
	ErrNotAsked = errors.New("the kernel was not asked")
	// ErrNegativeRefcount: the kernel counts fewer references to the module than none. It
	// is an ErrNotAsked too.
	ErrNegativeRefcount = fmt.Errorf("%w: its refcount is negative", ErrNotAsked)
	// ErrUnreadRefcount: whether it does cannot be found out. It is an ErrNotAsked too.
	ErrUnreadRefcount = fmt.Errorf("%w: its refcount cannot be read", ErrNotAsked)
	// ErrNoModules: this kernel cannot load modules now.
	ErrNoModules = errors.New("this kernel loads no modules")
)

// RefcountError is an [ErrNegativeRefcount] with the count.
type RefcountError struct{ Count int }

func (e *RefcountError) Error() string { return fmt.Sprintf("%v (%d)", ErrNegativeRefcount, e.Count) }

// Unwrap gives the sentinel.
func (e *RefcountError) Unwrap() error { return ErrNegativeRefcount }

// InstallError is an [ErrInstallCommand] with the command.
type InstallError struct {
	Command    string
	Dependency bool // it is run for a dependency of what was asked for
}

func (e *InstallError) Error() string {
	return fmt.Sprintf("%v: %s", ErrInstallCommand, shorten(e.Command))
}

// Unwrap gives the sentinel.
func (e *InstallError) Unwrap() error { return ErrInstallCommand }

// Error is the error of every operation of this package on a module or a module
// file. Err holds the cause: a sentinel of this package, an errno, or both.
type Error struct {
	Op     string // what was tried: "load", "unload", "resolve", "inspect", "list"
	Module string // the module's name, or the file's path
	Err    error
}

func (e *Error) Error() string {
	if e.Module == "" {
		return fmt.Sprintf("%s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("%s %s: %v", e.Op, shorten(e.Module), e.Err)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// because joins what this package knows with what the kernel said.
func because(what, errno error) error { return fmt.Errorf("%w: %w", what, errno) }

// shorten keeps an error on one line whatever the caller asked for.
func shorten(s string) string {
	const most = 120
	if len(s) > most {
		return fmt.Sprintf(`"%s"... (%d bytes)`, cells.Printable(s[:most]), len(s))
	}
	if shown := cells.Printable(s); shown != s {
		return `"` + shown + `"`
	}
	return s
}
