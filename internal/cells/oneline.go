package cells

import "strings"

// OneLine shows an error on one line, whatever a kernel's verifier said.
func OneLine(err error) error { return oneLine{err} }

type oneLine struct{ error }

func (e oneLine) Error() string {
	return ShortLine(strings.Join(strings.Fields(e.error.Error()), " "))
}

func (e oneLine) Unwrap() error { return e.error }
