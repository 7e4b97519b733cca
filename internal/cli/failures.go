package cli

import (
	"errors"
	"fmt"
)

// Failures are the errors of several targets of a command, which goes on after the first. Their
// [Failures.Err] has the worst one's exit status.
type Failures []error

// Add adds an error, and nothing for nil.
func (f *Failures) Add(err error) {
	if err != nil {
		*f = append(*f, err)
	}
}

// Err makes them one error, or nil if there are none.
func (f Failures) Err() error {
	if len(f) == 0 {
		return nil
	}
	return &FailuresError{f}
}

// FailuresError is the error of several targets. It reads as their errors one below the other, and
// its hint is that of the first.
type FailuresError struct{ All Failures }

func (e *FailuresError) Error() string {
	if text := errors.Join(e.Unwrap()...); text != nil {
		return text.Error()
	}
	return ""
}

// Unwrap gives those errors that have a text. All but the first have the program's name before it,
// which the first gets as any error.
func (e *FailuresError) Unwrap() []error {
	var texts []error
	for _, err := range e.All {
		if err.Error() == "" {
			continue
		}
		if len(texts) > 0 {
			err = fmt.Errorf("kmodtrace: %w", err)
		}
		texts = append(texts, err)
	}
	return texts
}

func (e *FailuresError) Hint() string { return HintOf(e.All[0]) }
