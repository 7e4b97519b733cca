package cells

import (
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/kmodtrace/kmodtrace/internal/lazyregexp"
)

// Filter is a writer in front of a terminal. It lets through lines of text and, where that
// is wanted, their colours; all else that reaches it is written out as escapes, so that it
// steers nothing. It does not know whose a line is: values are made [Printable] where they
// enter one.
type Filter struct {
	to      io.Writer
	colours bool
	rest    []byte // of a sequence that has not ended yet
	before  joint
}

// NewFilter gives a filter.
func NewFilter(to io.Writer, colours bool) *Filter { return &Filter{to: to, colours: colours} }

var (
	// colour is a sequence that paints text.
	colour = lazyregexp.New(`^\x1b\[([0-9;]{0,40})m`)
	// dropped is what compilers paint with beside: to the end of a line, and links to their manual.
	dropped = lazyregexp.New(`^\x1b(?:\[K|\][ -~]*(?:\a|\x1b\\))`)
	// begun is what may become either.
	begun = lazyregexp.New(`^\x1b(?:\[[0-9;]{0,40}|\][ -~]*\x1b?)?$`)
)

// maxSequence bounds what waits for its end.
const maxSequence = 2 << 10

// paints tells whether the numbers of a sequence give a text colours, weight or lines, and
// neither hide it nor make it blink.
func paints(numbers string) bool {
	all := strings.Split(numbers, ";")
	for i := 0; i < len(all); i++ {
		n, _ := strconv.Atoi(all[i])
		switch {
		case n == 38 || n == 48: // a colour by number or by its three parts
			if i+1 >= len(all) {
				return false
			}
			i += map[string]int{"5": 2, "2": 4}[all[i+1]]
		case n >= 5 && n <= 8, n > 49 && n < 90, n > 107:
			return false
		}
	}
	return true
}

// Write writes text as it comes; what may be the beginning of a sequence waits for its end.
func (f *Filter) Write(text []byte) (int, error) {
	var shown strings.Builder
	pending := string(f.rest) + string(text)
	f.rest = nil
	for pending != "" {
		n, out, ok := f.next(pending)
		if !ok {
			f.rest = []byte(pending)
			break
		}
		shown.WriteString(out)
		pending = pending[n:]
	}
	if _, err := io.WriteString(f.to, shown.String()); err != nil {
		return 0, err
	}
	return len(text), nil
}

// Flush writes out what still waits.
func (f *Filter) Flush() error {
	rest := string(f.rest)
	f.rest = nil
	if rest == "" {
		return nil
	}
	_, err := io.WriteString(f.to, Printable(rest))
	return err
}

// next takes one character or sequence off the text, and gives what is shown of it. It is
// not ok where that has not ended yet.
func (f *Filter) next(text string) (n int, shown string, ok bool) {
	if text[0] == '\x1b' && f.colours {
		if m := colour.FindStringSubmatch(text); m != nil && paints(m[1]) {
			return len(m[0]), m[0], true
		}
		if gone := dropped.FindString(text); gone != "" {
			return len(gone), "", true
		}
		if len(text) < maxSequence && begun.MatchString(text) {
			return 0, "", false
		}
	}
	switch {
	case text[0] == '\n' || text[0] == '\t':
		f.before = joint{}
		return 1, text[:1], true
	case text == "\r" || !utf8.FullRuneInString(text):
		return 0, "", false
	case strings.HasPrefix(text, "\r\n"):
		f.before = joint{}
		return 2, "\n", true
	}
	r, size := utf8.DecodeRuneInString(text)
	if f.before.hides(r, size) {
		return size, escape(text[:size], r), true
	}
	return size, text[:size], true
}
