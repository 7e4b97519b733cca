package cells

import (
	"strings"
	"testing"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"":                                "",
		"xfs":                             "xfs",
		`C:\dir "x"`:                      `C:\dir "x"`, // as it is where nothing is escaped
		"grün 模块 é":                       "grün 模块 é",
		"e\u0301":                         "e\u0301",
		"a\nb":                            `a\nb`,
		"a\x1b[31mb":                      `a\x1b[31mb`,
		"a\\\n":                           `a\\\n`,
		"\x00\x07\r\t\x7f":                `\x00\a\r\t\x7f`,
		"\u0080\u009b\u009d":              `\u0080\u009b\u009d`,
		"\x9b31m\xff\xc3":                 `\x9b31m\xff\xc3`,
		"\u061c\u200e\u202e\u2066":        `\u061c\u200e\u202e\u2066`,
		"\u2028\u2029\u0085":              `\u2028\u2029\u0085`,
		"\u200b\u200d\u2060\ufeff":        `\u200b\u200d\u2060\ufeff`,
		"\U000e0041\U000e0100\ufe0f":      `\U000e0041\U000e0100\ufe0f`,
		"\u3164\u115f\u2800\u00ad":        `\u3164\u115f\u2800\u00ad`,
		"\u0301x \u0302":                  `\u0301x \u0302`,
		"e" + strings.Repeat("\u0301", 6): "e" + strings.Repeat("\u0301", maxMarks) + `\u0301\u0301`,
		"\ufffd":                          "\ufffd", // a character as others
	} {
		got := Printable(in)
		if got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
		if again := Printable(got); again != got {
			t.Errorf("%q: escaped twice: %q", in, again)
		}
	}
}
