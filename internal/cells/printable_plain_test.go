//go:build !race

package cells

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestEscapeJSON: it decodes to the same, and shows as text.
func TestEscapeJSON(t *testing.T) {
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		text := string(r) + "x" + string(r)
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(map[string]string{"a": text, text: "b"}); err != nil {
			t.Fatal(err)
		}
		escaped := EscapeJSON(b.Bytes())
		var got map[string]string
		if err := json.Unmarshal(escaped, &got); err != nil || got["a"] != text || got[text] != "b" {
			t.Fatalf("%U: %s: %q, %v", r, escaped, got, err)
		}
		for line := range strings.SplitSeq(string(escaped), "\n") {
			if Printable(line) != line {
				t.Fatalf("%U: %q", r, line)
			}
		}
	}
}
