package calls

import (
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/addr2line"
)

// Type is what a function returns, as far as that decides whether a result is an error.
type Type = addr2line.Type

// The types.
const (
	Unknown  = addr2line.Unknown
	Void     = addr2line.Void
	Bool     = addr2line.Bool
	Int      = addr2line.Int
	Long     = addr2line.Long
	Unsigned = addr2line.Unsigned
	Pointer  = addr2line.Pointer
)

// info is what debug information says of a function.
type info = addr2line.Definition

// maxDebug bounds the debug information that is read, as for reports.
const maxDebug = 256 << 20

// lines answers from debug information; without any, nothing.
type lines struct {
	module      *addr2line.Module
	definitions *addr2line.Definitions
}

func newLines(image []byte) lines {
	m, err := addr2line.New(image, maxDebug)
	if err != nil {
		return lines{}
	}
	return lines{m, m.Definitions()}
}

// function knows a function by its place. What the compiler made of it by ipa-sra (.isra) may not return what it
// did.
func (l lines) function(symbol, section string, offset uint64) info {
	if l.module == nil {
		return info{}
	}
	i := l.definitions.At(section, offset)
	if _, suffixes, _ := strings.Cut(symbol, "."); isReduced(suffixes) {
		i.Returns = Unknown
	}
	return i
}

// isReduced tells by what a compiler added to a name whether it changed what the function takes or returns.
func isReduced(suffixes string) bool { return strings.Contains("."+suffixes, ".isra.") }

func (l lines) at(section string, offset uint64) string {
	if l.module == nil {
		return ""
	}
	_, line := l.module.Section(section, offset)
	return line
}
