package cells

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable shows text of a file, a user or a guest on one line, without letting it steer
// the terminal, hide, or change how other text is read: what is not graphic (control
// characters of C0 and C1, bytes that are not UTF-8, marks of direction, separators of
// lines, characters of no width, tags) comes out as an escape, and so does a combining mark
// that would join what stands before the text. All else stays as it is; only where there is
// an escape is a backslash doubled.
func Printable(s string) string {
	if plainASCII(s) {
		return s
	}
	var b strings.Builder
	escaped := false
	var before joint
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case before.hides(r, size):
			escaped = true
			b.WriteString(escape(s[i:i+size], r))
		case r == '\\':
			b.WriteString(`\\`)
		default:
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	if !escaped {
		return s
	}
	return b.String()
}

func plainASCII[T string | []byte](s T) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// escape writes one character as Go does.
func escape(text string, r rune) string {
	if r == utf8.RuneError && len(text) == 1 {
		return `\x` + strconv.FormatUint(uint64(text[0])|0x100, 16)[1:]
	}
	quoted := strconv.QuoteToASCII(text)
	return quoted[1 : len(quoted)-1]
}

// maxMarks is how many combining marks one letter may have: what is written in earnest has
// two or three, and more of them cover the lines around.
const maxMarks = 4

// joint is what a combining mark would join: nothing at the beginning.
type joint struct {
	base  bool // there is a character that marks may join
	marks int  // that it has already
}

// hides tells whether a character must not be shown as it is.
func (j *joint) hides(r rune, size int) bool {
	switch {
	case r == utf8.RuneError && size <= 1, Hidden(r):
		*j = joint{}
		return true
	case !unicode.Is(unicode.M, r):
		*j = joint{base: r != ' '}
		return false
	}
	j.marks++
	return !j.base || j.marks > maxMarks
}

// Hidden tells whether a character is not graphic: it steers, or shows nothing.
func Hidden(r rune) bool { return !unicode.IsPrint(r) || unicode.Is(invisible, r) }

// invisible are characters that count as letters or marks and show nothing (Unicode's
// Default_Ignorable_Code_Point, of those that unicode.IsPrint lets through).
var invisible = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x034f, Hi: 0x034f, Stride: 1}, {Lo: 0x115f, Hi: 0x1160, Stride: 1}, {Lo: 0x17b4, Hi: 0x17b5, Stride: 1},
		{Lo: 0x180b, Hi: 0x180f, Stride: 1}, {Lo: 0x2800, Hi: 0x2800, Stride: 1}, {Lo: 0x3164, Hi: 0x3164, Stride: 1},
		{Lo: 0xfe00, Hi: 0xfe0f, Stride: 1}, {Lo: 0xffa0, Hi: 0xffa0, Stride: 1},
	},
	R32: []unicode.Range32{{Lo: 0xe0000, Hi: 0xe0fff, Stride: 1}},
}

// EscapeJSON escapes in a JSON text what [Printable] would, beyond the control characters
// that JSON forbids. That is all within strings, so that it decodes to the same; lines and
// their indentation stay.
func EscapeJSON(text []byte) []byte {
	if !slices.ContainsFunc(text, func(c byte) bool { return (c < ' ' || c > '~') && c != '\n' }) {
		return text
	}
	out := make([]byte, 0, len(text)+16)
	var before joint
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		switch {
		case r == '\n':
			before = joint{}
			out = append(out, '\n')
		case r == '"': // a mark after it would join what is not of the text
			before = joint{}
			out = append(out, '"')
		case !before.hides(r, size) || r == utf8.RuneError && size <= 1: // a JSON text is UTF-8
			out = append(out, text[i:i+size]...)
		case r > 0xffff:
			const pairs, low = 0xd800, 0xdc00
			r -= 0x10000
			out = appendEscape(appendEscape(out, pairs|r>>10), low|r&0x3ff)
		default:
			out = appendEscape(out, r)
		}
		i += size
	}
	return out
}

func appendEscape(out []byte, r rune) []byte {
	out = append(out, `\u`...)
	return append(out, strconv.FormatUint(uint64(r)|0x10000, 16)[1:]...)
}
