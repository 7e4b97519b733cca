package main

import (
	"errors"
	"strings"
	"testing"
)

const good = `=== RUN   TestCauses
causes: {"kernel":"6.12.1","code":"vermagic","case":"","way":"insmod","verdict":"right","why":"vermagic: x"}
causes: {"kernel":"6.12.1","code":"vermagic","case":"","way":"modprobe","verdict":"not producible","why":"it looks first"}
causes: {"kernel":"6.12.1","code":"not-elf","case":"text","way":"check","verdict":"right","why":"not-elf: x"}
PASS
`

func TestMatrix(t *testing.T) {
	m := newMatrix([]string{"amd64/6.12", "amd64/7.3"})
	m.add("amd64/6.12", "plain", []byte(good), nil)
	if err := m.err(); err != nil {
		t.Error(err)
	}
	for _, want := range []string{
		"vermagic        i.            -\n", "not-elf (text)  c             -\n",
		"not producible: vermagic by modprobe: it looks first (amd64/6.12)\n", "amd64/6.12: 2 right, 0 wrong, 1 not producible\n",
	} {
		if !strings.Contains(m.text(), want) {
			t.Errorf("no %q in\n%s", want, m.text())
		}
	}
	if want := "| 6.12.1 | 2 | 2 | 0 | 1 |\n"; !strings.Contains(m.summary(), want) {
		t.Errorf("no %q in\n%s", want, m.summary())
	}
}

// TestMatrixFails: what is wrong, or did not come to its end, is never a success.
func TestMatrixFails(t *testing.T) {
	failed := errors.New("exit status 1")
	for name, c := range map[string]struct {
		output string
		err    error
		says   string
	}{
		"wrong":        {strings.Replace(good, `"verdict":"right"`, `"verdict":"wrong"`, 1), failed, "WRONG: amd64/6.12, vermagic by insmod: vermagic: x"},
		"cut short":    {strings.TrimSuffix(good, "PASS\n"), nil, "did not come to its end"},
		"another fail": {strings.Replace(good, "PASS", "    x_test.go:3: oh\nFAIL", 1), failed, "x_test.go:3: oh"},
		"both": {strings.Replace(strings.Replace(good, `"verdict":"right"`, `"verdict":"wrong"`, 1), "PASS", "    x_test.go:3: oh\n    causes_kernel_test.go:9: wrong: insmod: no\nFAIL", 1),
			failed, "the test failed: exit status 1\n    x_test.go:3: oh\n"},
		"garbage": {"causes: {\nPASS\n", nil, "BROKEN: amd64/6.12, plain"},
		"nothing": {"PASS\n", nil, ""},
		"panic":   {"panic: no\n", failed, "panic: no"},
	} {
		m := newMatrix([]string{"amd64/6.12"})
		m.add("amd64/6.12", "plain", []byte(c.output), c.err)
		if m.err() == nil {
			t.Errorf("%s: no error", name)
		}
		if !strings.Contains(m.text(), c.says) {
			t.Errorf("%s: no %q in\n%s", name, c.says, m.text())
		}
	}
}
