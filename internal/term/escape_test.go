package term

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// TestEscape: Ctrl-] three times in a second ends the machine, also where the guest takes
// no input; what is typed still arrives.
func TestEscape(t *testing.T) {
	const key = "\x1d"
	for typed, c := range map[string]struct {
		between time.Duration
		ends    bool
	}{
		"ls\r":                   {0, false},
		key + key:                {0, false},
		key + key + key:          {100 * time.Millisecond, true},
		"x" + key + key + key:    {499 * time.Millisecond, true},
		key + key + key + "\x1e": {600 * time.Millisecond, false},
		key + "x" + key + key:    {0, false},
		strings.Repeat("x", 3*escapeKept) + key + key + key: {0, true},
		strings.Repeat(key, 100):                            {time.Minute, false},
	} {
		ended := false
		at := time.Unix(1, 0)
		r := newEscapeReader()
		r.watch(iotest.OneByteReader(strings.NewReader(typed)), func() { ended = true }, func() time.Time { at = at.Add(c.between); return at })
		if ended != c.ends {
			t.Errorf("%.20q with %v between: ends %t", typed, c.between, ended)
		}
		got, err := io.ReadAll(r)
		if want := typed[:min(len(typed), escapeKept)]; string(got) != want || err != nil {
			t.Errorf("%.20q: %.20q arrives, %v", typed, got, err)
		}
	}
}
