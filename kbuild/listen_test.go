package kbuild

import (
	"bytes"
	"slices"
	"testing"
)

// hear gives what becomes of a build's output, in pieces as small as can be.
func hear(l *listener, text string) {
	for i := range len(text) {
		l.Write([]byte(text[i : i+1]))
	}
	l.flush()
}

// TestLineWithoutEnd: a flood without ends of lines is passed on as it comes, and not gathered.
func TestLineWithoutEnd(t *testing.T) {
	var out bytes.Buffer
	l := newListener(&out, "/m", ".")
	flood := bytes.Repeat([]byte("x"), 20*maxLine)
	l.Write(flood)
	if len(l.line) >= maxLine || !bytes.HasPrefix(flood, out.Bytes()) || out.Len()+len(l.line) != len(flood) {
		t.Errorf("of %d bytes %d passed on, %d kept", len(flood), out.Len(), len(l.line))
	}
	l.Write([]byte("\na.c:1:2: error: no\n"))
	if l.first() != "a.c:1:2: error: no" {
		t.Errorf("heard %.80q", l.first())
	}
}

func TestDiagnostics(t *testing.T) {
	l := newListener(nil, "/m", ".")
	hear(l, "  CC [M]  a.o\nIn file included from /m/a.c:1:\n\x1b[01m\x1b[K/m/b.h:3:7:\x1b[m\x1b[K \x1b[01;31m\x1b[Kerror: \x1b[m\x1b[Kno such: thing\n"+
		"/m/a.c:9: warning: old [\x1b]8;;https://gcc.gnu.org\x1b\\-Wold\x1b]8;;\x1b\\]\n/m/a.c:1:10: fatal error: x.h: No such file or directory\nnote: not one\n")
	want := []Diagnostic{
		{"b.h", 3, 7, Fatal, "no such: thing"}, {"a.c", 9, 0, Warning, "old [-Wold]"}, {"a.c", 1, 10, Fatal, "x.h: No such file or directory"},
	}
	if !slices.Equal(l.diagnostics, want) {
		t.Errorf("%+v", l.diagnostics)
	}
	if len(l.missing) > 0 {
		t.Errorf("took a header for a program: %v", l.missing)
	}
}

func TestFirstComplaint(t *testing.T) {
	for text, want := range map[string]string{
		"  CC x.o\nx.c:3:1: error: expected ';'\nmake: *** [x] Error 1\n": "x.c:3:1: error: expected ';'",
		"x.c:3:1: warning: odd\nERROR: modpost: \"foo\" undefined!\n":     `ERROR: modpost: "foo" undefined!`,
		"make: *** No rule to make target 'all'.  Stop.\n":                "make: *** No rule to make target 'all'.  Stop.",
		"<command-line>: error: bad\nx.c:3:1: error: worse\n":             "<command-line>: error: bad",
		"one\ntwo\n\n": "two",
		"":             "no output",
	} {
		if got := FirstComplaint(text); got != want {
			t.Errorf("FirstComplaint(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestWhatIsMissingIsHeard(t *testing.T) {
	for text, want := range map[string]thing{
		"/bin/sh: 1: gcc-12: not found\n":                                               {name: "gcc-12"},
		"/bin/sh: line 1: bc: command not found\n":                                      {name: "bc"},
		"sh: flex: not found\n":                                                         {name: "flex"},
		"make[1]: gcc-10: No such file or directory\n":                                  {name: "gcc-10"},
		"gcc-14: fatal error: cannot execute 'as': execvp: No such file or directory\n": {name: "as"},
		"/bin/sh: 1: /usr/bin/pahole: not found\n":                                      {name: "pahole"},
		"./tools/objtool/objtool: error while loading shared libraries: libelf.so.1: cannot open shared object file: No such file or directory\n": {name: "libelf.so.1", kind: libraryThing},
		"Error loading shared library libelf.so.1: No such file or directory (needed by ./objtool)\n":                                             {name: "libelf.so.1", kind: libraryThing},
	} {
		l := newListener(nil, "/m", ".")
		hear(l, text+text)
		if !slices.Equal(l.missing, []thing{want}) {
			t.Errorf("%q: %+v", text, l.missing)
		}
	}
}
