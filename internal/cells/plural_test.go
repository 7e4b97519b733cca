package cells

import (
	"testing"
)

func TestPlural(t *testing.T) {
	for n, want := range map[int]string{0: "0 loads", 1: "1 load", 2: "2 loads", 12288: "12288 loads"} {
		if got := Plural(n, "load"); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}
