// Package wire reads what programs in the kernel write: structs as they lie in its memory, and text.
package wire

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// View looks at raw as the generated type of the wire format.
func View[T any](raw []byte) (*T, error) {
	var t T
	if uintptr(len(raw)) < unsafe.Sizeof(t) {
		return nil, fmt.Errorf("record of %d bytes, want %d", len(raw), unsafe.Sizeof(t))
	}
	if p := unsafe.Pointer(unsafe.SliceData(raw)); uintptr(p)%unsafe.Alignof(t) == 0 {
		return (*T)(p), nil
	}
	return aligned[T](raw), nil
}

// aligned is a copy, for records that begin anywhere. It is apart from [View] so that
// only who needs the copy allocates it.
func aligned[T any](raw []byte) *T {
	t := new(T)
	copy(unsafe.Slice((*byte)(unsafe.Pointer(t)), unsafe.Sizeof(*t)), raw)
	return t
}

// Text is the text up to the first NUL.
func Text(b []byte) string { return Printable(string(UntilNUL(b))) }

// UntilNUL is what stands before the first NUL.
func UntilNUL(b []byte) []byte {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return b
}

// Printable writes each byte that is not UTF-8 as \xNN, so that a name or a
// parameter of any bytes survives JSON and can be told from others.
func Printable(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&b, `\x%02x`, s[i])
		} else {
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	return b.String()
}
