package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"unicode"
	"unicode/utf16"
)

// jsonLine gives v as one line. What would steer a terminal is escaped also
// beyond the control characters that JSON forbids: a file's name may hold C1
// controls or marks that turn the direction of text.
func jsonLine(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("encode JSON: %w", err)
	}
	return append(escapeJSON(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), '\n'), nil
}

// escapeJSON escapes unprintable characters, which JSON has only inside strings.
func escapeJSON(text []byte) []byte {
	plain := func(c byte) bool { return c >= ' ' && c < 0x7f }
	if !slices.ContainsFunc(text, func(c byte) bool { return !plain(c) }) {
		return text
	}
	var out []byte
	for _, r := range string(text) {
		switch {
		case !unprintable(r):
			out = append(out, string(r)...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }
