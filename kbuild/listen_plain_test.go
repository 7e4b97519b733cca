//go:build !race

package kbuild

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

func TestNamesAreThoseTheUserWrote(t *testing.T) {
	directory := t.TempDir()
	writeFile(t, filepath.Join(directory, "a.c"), "")
	writeFile(t, filepath.Join(directory, "sub/b.h"), "")
	for _, c := range []struct{ shown, said, want string }{
		{"x/y", directory + "/a.c:1:2: error: no\n", "x/y/a.c:1:2: error: no\n"},
		{".", directory + "/a.c:1:2: error: no\n", "a.c:1:2: error: no\n"},
		{".", "a.c:1:2: error: no\n", "a.c:1:2: error: no\n"},
		{"/abs/x", "a.c:1:2: error: no\n", "/abs/x/a.c:1:2: error: no\n"},
		{"x y", "\x1b[01m\x1b[Ka.c:1:2:\x1b[m\x1b[K error\n", "\x1b[01m\x1b[Kx y/a.c:1:2:\x1b[m\x1b[K error\n"},
		{"x", "In file included from a.c:2:\n", "In file included from x/a.c:2:\n"},
		{"x", "                 from \x1b[01m\x1b[Ksub/b.h:2\x1b[m\x1b[K,\n", "                 from \x1b[01m\x1b[Kx/sub/b.h:2\x1b[m\x1b[K,\n"},
		{"x", "other.c:1:2: error: not of this directory\n", "other.c:1:2: error: not of this directory\n"},
		{"x", "  CC [M]  a.o\n", "  CC [M]  a.o\n"},
		{"x", "make[1]: *** [Makefile:1: " + directory + "] Error 2\n", "make[1]: *** [Makefile:1: x] Error 2\n"},
		{"x", "no end of line", "no end of line"},
		{"x\x1b[2J\ny", directory + "/a.c:1:2: error: no\n", "x\\x1b[2J\\ny/a.c:1:2: error: no\n"},
		{"x", strings.Repeat("long ", 100_000) + "\n", strings.Repeat("long ", 100_000) + "\n"},
	} {
		var out bytes.Buffer
		hear(newListener(&out, directory, c.shown), c.said)
		if out.String() != c.want {
			t.Errorf("%.80q for %q: %.80q, want %.80q", c.said, c.shown, out.String(), c.want)
		}
	}
}
