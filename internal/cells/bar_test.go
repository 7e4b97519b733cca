package cells

import (
	"testing"
	"time"
)

func TestBar(t *testing.T) {
	for _, test := range []struct {
		after, took, total time.Duration
		n                  int
		want               string
	}{
		{0, 8, 8, 4, "████"},
		{4, 4, 8, 4, "  ██"},
		{0, 0, 8, 4, "▏"},
		{8, 8, 8, 4, "   █"}, // beyond the end
		{0, 100, 8, 4, "████"},
		{0, 1, 0, 4, ""},
		{1, 1, 8, 0, ""},
		{0, 1 << 50, 1 << 52, 8, "██"},
	} {
		if got := Bar(test.after, test.took, test.total, test.n); got != test.want {
			t.Errorf("bar(%d, %d, %d, %d) = %q, want %q", test.after, test.took, test.total, test.n, got, test.want)
		}
	}
}
