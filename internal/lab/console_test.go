package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func consoleFile(t *testing.T, text string) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "console")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestReadConsole(t *testing.T) {
	var long strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&long, "[ 1.0] line %d\r\n", i)
	}
	for _, c := range []struct{ name, text, first, last, panicked string }{
		{name: "empty"},
		{name: "only newlines", text: "\r\n\r\n"},
		{name: "panic", text: "[ 1.2] boot\r\n[ 2.0] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000200\r\n[ 2.1] CPU: 0\r\n",
			first: "[ 1.2] boot", last: "[ 2.1] CPU: 0", panicked: "Attempted to kill init! exitcode=0x00000200"},
		{name: "long", text: long.String(), first: fmt.Sprintf("[ 1.0] line %d", 20000-consoleTail), last: "[ 1.0] line 19999"},
		{name: "cut off in a line", text: "[ 1.0] one\r\n[ 2.0] tw", first: "[ 1.0] one", last: "[ 2.0] tw"},
		{name: "terminal commands and bytes that are no text", text: "\x1b[2J\x1bcone\x00\xff\xfe\a\r\n", first: "[2Jcone", last: "[2Jcone"},
		{name: "one endless line", text: strings.Repeat("x", 1<<20), first: strings.Repeat("x", 64<<10), last: strings.Repeat("x", 64<<10)},
	} {
		t.Run(c.name, func(t *testing.T) {
			tail, panicked := readConsole(consoleFile(t, c.text))
			lines := strings.Split(tail, "\n")
			if lines[0] != c.first || lines[len(lines)-1] != c.last || panicked != c.panicked {
				t.Errorf("got %.80q … %.80q, %q", lines[0], lines[len(lines)-1], panicked)
			}
			if len(lines) > consoleTail {
				t.Errorf("%d lines", len(lines))
			}
		})
	}
}
