//go:build !race

package cells

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestEscapeJSON: it decodes to the same, and shows as text.
func TestEscapeJSON(t *testing.T) {
	const together = 256 // characters, as most of the time goes into the encoder
	for first := rune(0); first <= utf8.MaxRune; first += together {
		want := make(map[string]string)
		for r := first; r < first+together; r++ {
			if utf8.ValidRune(r) {
				text := string(r) + "x" + string(r)
				want[text] = text
			}
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(want); err != nil {
			t.Fatal(err)
		}
		escaped := EscapeJSON(b.Bytes())
		var got map[string]string
		if err := json.Unmarshal(escaped, &got); err != nil || !maps.Equal(got, want) {
			t.Fatalf("from %U: %s: %q, %v", first, escaped, got, err)
		}
		for line := range strings.SplitSeq(string(escaped), "\n") {
			if Printable(line) != line {
				t.Fatalf("from %U: %q", first, line)
			}
		}
	}
}
