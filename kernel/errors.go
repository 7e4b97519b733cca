package kernel

import (
	"errors"
	"fmt"
	"strconv"
)

// Sentinels, reached with [errors.Is].
var (
	// ErrNotInstalled: there is no kernel of that release on this system.
	ErrNotInstalled = errors.New("no such kernel is installed")
	// ErrUnknown: this cannot be known here: no privilege, or no source of the fact.
	ErrUnknown = errors.New("cannot be known here")
	// ErrNoSymbol: surely not exported, neither by the kernel nor by a module that it has.
	ErrNoSymbol = errors.New("no such symbol is exported")
	// ErrUnsigned: the module has no signature.
	ErrUnsigned = errors.New("not signed")
	// ErrNoKey: no key that the kernel trusts made the signature.
	ErrNoKey = errors.New("signed with a key that the kernel does not trust")
	// ErrSignature: a trusted key made the signature, but not of this content.
	ErrSignature = errors.New("the signature is not of this content")
	// ErrSignatureUnsupported: the signature is of a kind that modules cannot have.
	ErrSignatureUnsupported = errors.New("the signature is of a kind that the kernel does not check")
	// ErrSignatureForm: the signature is made in a form that the kernel does not accept for modules.
	ErrSignatureForm = errors.New("the signature has signed attributes, which the kernel does not accept for modules")
	// ErrSignatureDamaged: something is appended as a signature and cannot be read as one.
	ErrSignatureDamaged = errors.New("the signature is damaged")
)

// Error is the error of every question to a kernel.
type Error struct {
	Op      string // what was asked for: "symbol", "config", …
	Object  string // its name; empty where there is one only
	Release string // the kernel's
	Err     error
}

func (e *Error) Error() string {
	text := "kernel " + shorten(e.Release) + ": " + e.Op
	if e.Object != "" {
		text += " " + shorten(e.Object)
	}
	return text + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

func (k *Kernel) fail(op, object string, err error) error {
	return &Error{Op: op, Object: object, Release: k.release, Err: err}
}

// unknown is ErrUnknown with the reason.
func unknown(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrUnknown, fmt.Errorf(format, args...))
}

// reason takes ErrUnknown off again, to be told as one reason of several.
func reason(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		if parts := joined.Unwrap(); len(parts) == 2 && parts[0] == ErrUnknown {
			return parts[1]
		}
	}
	return err
}

// reasons gives several causes on one line.
type reasons []error

func (r reasons) Error() string {
	text := ""
	for i, err := range r {
		if i > 0 {
			text += "; "
		}
		text += reason(err).Error()
	}
	return text
}

// Unwrap gives them all.
func (r reasons) Unwrap() []error { return r }

// shorten keeps an error on one line whatever the caller asked for.
func shorten(s string) string {
	const most = 120
	if len(s) > most {
		return fmt.Sprintf("%q... (%d bytes)", s[:most], len(s))
	}
	if quoted := strconv.Quote(s); len(quoted) != len(s)+2 {
		return quoted
	}
	return s
}
