package render

import (
	"errors"
	"fmt"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/kbuild"
)

// Build is what build prints.
type Build struct {
	Verdict BuildVerdict `json:"result"`
	*kbuild.Result
	// Reason says why it was not built, and Next what to do about that.
	Reason string `json:"reason,omitempty"`
	Next   string `json:"next,omitempty"`
}

// BuildVerdict says what a build came to.
type BuildVerdict string

const (
	Built    BuildVerdict = "built"
	NotBuilt BuildVerdict = "failed"
	Unable   BuildVerdict = "unable" // this machine lacks what it needs
)

// NewBuild is what a build came to, of which failure is the [BuildError].
func NewBuild(r *kbuild.Result, failure error) *Build {
	b := &Build{Verdict: Built, Result: r, Next: cli.HintOf(failure)}
	if failure != nil {
		b.Verdict, b.Reason = NotBuilt, failure.Error()
	}
	if unable := (*cli.UnableError)(nil); errors.As(failure, &unable) {
		b.Verdict = Unable
	}
	return b
}

// BuildError gives a build's error on one line, with what to do next; nil for nil.
func BuildError(err error) error {
	var missing *kbuild.MissingError
	var failed *kbuild.FailedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &missing):
		return cli.Unable(cells.OneLine(err), missing.Hint())
	case errors.As(err, &failed):
		return cli.WithHint(cells.OneLine(err), failed.Advice)
	case errors.Is(err, kbuild.ErrBadTarget):
		return cli.Usagef("%w", cells.OneLine(err))
	}
	return cells.OneLine(err)
}

// Build renders the modules that were built. Why there are none goes to standard error.
func (t *ResultText) Build(r *Build) string {
	var lines []cells.Line
	for i := range r.Modules {
		m := &r.Modules[i]
		word := "built"
		if !m.Changed {
			word = "unchanged"
		}
		lines = append(lines, cells.Line{}.Add(cells.Strong, m.Name).Spaced(cells.Good, word))
		lines = append(lines, Labelled("file", cells.Plain, cells.CutFront(cells.Printable(m.Path), max(t.Width-labelColumns, 1))))
		lines = append(lines, Labelled("size", cells.Plain, fmt.Sprintf("%d bytes", m.Size)))
		lines = append(lines, Labelled("for", cells.Plain, m.Vermagic))
	}
	for i, text := range r.Notes {
		lines = append(lines, t.Wrapped(first(i, "note"), cells.Unsure, text)...)
	}
	return t.Text(lines)
}
