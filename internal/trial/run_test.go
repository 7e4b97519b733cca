package trial

import (
	"strings"
	"testing"
)

// TestHowSays: that the machine failed is said with a reason, also where nobody gave one.
func TestHowSays(t *testing.T) {
	for complaint, want := range map[string]string{
		"":                      "in the machine: what carries out the plan ended by itself, with status 137",
		"one\nkmodtrace: two\n": "in the machine: kmodtrace: two",
	} {
		_, err := how(t.Context(), nil, 137, complaint, new(teller))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", complaint, err)
		}
	}
}
