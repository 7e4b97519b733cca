package taint

import (
	"strings"
	"testing"
)

// TestTaints: each bit has one word, by its number and by its letter, as the kernel's
// Documentation/admin-guide/tainted-kernels.rst lists them.
func TestTaints(t *testing.T) {
	const letters = "PFSRMBUDAWCIOELKXTNJ"
	for bit, letter := range letters {
		word := Word(bit)
		if strings.HasPrefix(word, "taint-") || OfLetter(letter) != word {
			t.Errorf("bit %d is %q, letter %c is %q", bit, word, letter, OfLetter(letter))
		}
	}
	for bit := range bits {
		if got, ok := Bit(Word(bit)); !ok || got != bit {
			t.Errorf("the word of bit %d gives %d, %v", bit, got, ok)
		}
	}
	for word, want := range map[string]int{"forced-load": 1, "taint-16": 16, "taint-19": 19, "taint-63": 63} {
		if got, ok := Bit(word); !ok || got != want {
			t.Errorf("%q of an earlier release gives %d, %v; want %d", word, got, ok, want)
		}
	}
	for _, word := range []string{"", "taint-", "taint-64", "tainted"} {
		if bit, ok := Bit(word); ok {
			t.Errorf("%q is not a taint, and gives %d", word, bit)
		}
	}
	if bit, letter := Word(40), OfLetter('?'); bit != "taint-40" || letter != "taint-?" {
		t.Errorf("unknown ones: %q and %q", bit, letter)
	}
}
