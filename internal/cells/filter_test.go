package cells

import (
	"strings"
	"testing"
)

// TestFilter: text and its colours go through, wherever a write ends; nothing that steers does.
func TestFilter(t *testing.T) {
	for in, want := range map[string]string{
		"hello\n\tworld ✓\n": "",
		"\x1b[31mred\x1b[0m \x1b[m\x1b[01;35mx\x1b[1;38;5;208my\x1b[38;2;1;8;3mz": "",
		"a\r\nb":                            "a\nb",
		"a\rb":                              `a\rb`,
		"\x1b[01m\x1b[Kfile.c:\x1b[m\x1b[K": "\x1b[01mfile.c:\x1b[m",
		"\x1b]8;;https://gcc.gnu.org/x\a-Wall\x1b]8;;\a": "-Wall",
		"\x1b]8;;https://gcc.gnu.org/x\x1b\\-W":          "-W",
		"\x1b[8mhidden\x1b[5m\x1b[38m\x1b[1;8m":          `\x1b[8mhidden\x1b[5m\x1b[38m\x1b[1;8m`,
		"\x1b[2J\x1b[H\x1b[6n\x1bc\x1b(0":                `\x1b[2J\x1b[H\x1b[6n\x1bc\x1b(0`,
		"\x1b]0;title":                                   `\x1b]0;title`, // no end came
		"\x1bPq#0\x1b\\":                                 `\x1bPq#0\x1b` + "\\",
		"\u009b31m\x9b31m\u202e\u2028":                   `\u009b31m\x9b31m\u202e\u2028`,
		"\x00\x07\x08\x0e\x7f\xff\xe2\x82":               `\x00\a\b\x0e\x7f\xff\xe2\x82`,
		"line\n\u0301x":                                  "line\n" + `\u0301x`,
	} {
		if want == "" {
			want = in
		}
		for size := 1; size <= len(in); size++ {
			var b strings.Builder
			f := NewFilter(&b, true)
			for rest := in; rest != ""; {
				part := rest[:min(size, len(rest))]
				if n, err := f.Write([]byte(part)); n != len(part) || err != nil {
					t.Fatal(n, err)
				}
				rest = rest[len(part):]
			}
			if err := f.Flush(); err != nil {
				t.Fatal(err)
			}
			if b.String() != want {
				t.Errorf("%q, %d at a time: %q, want %q", in, size, b.String(), want)
			}
		}
	}
	var b strings.Builder
	f := NewFilter(&b, false)
	f.Write([]byte("\x1b[31mred\x1b]8;;x\a\n"))
	if want := `\x1b[31mred\x1b]8;;x\a` + "\n"; b.String() != want {
		t.Errorf("without colours: %q, want %q", b.String(), want)
	}
}
