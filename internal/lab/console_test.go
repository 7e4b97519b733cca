package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

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
		{name: "one endless line", text: strings.Repeat("x", 1<<20), first: strings.Repeat("x", consoleLine), last: strings.Repeat("x", consoleLine)},
	} {
		t.Run(c.name, func(t *testing.T) {
			tail, panicked := readConsole([]byte(c.text), consoleTail)
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

// TestConsoleFloods: a kernel that prints without end fills neither memory nor the disk,
// and what it printed last is still known.
func TestConsoleFloods(t *testing.T) {
	name := filepath.Join(t.TempDir(), "console")
	m := Machine{Console: name, Watch: io.Discard}
	c, w, err := m.openConsole()
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	c.most = 100_000
	go c.follow(c.read)
	flood := []byte(strings.Repeat("x", 4095) + "\n")
	for range 4096 {
		if _, err := w.Write(flood); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(w, "[ 9.0] Kernel panic - not syncing: at last\n"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	<-c.done
	_, panicked, err := c.end()
	if panicked != "at last" || err != nil {
		t.Errorf("panicked %q, %v", panicked, err)
	}
	if len(c.last) > 2*consoleEnd {
		t.Errorf("%d bytes are kept", len(c.last))
	}
	text, err := os.ReadFile(name)
	if err != nil || len(text) > 100_200 || !strings.HasSuffix(string(text), "this file ends: it may have 0 MiB]\n") {
		t.Errorf("%d bytes in the file, which ends %q, %v", len(text), text[max(0, len(text)-100):], err)
	}
}

// TestConsoleOnAFullDisk: the run goes on, and its end says what is missing.
func TestConsoleOnAFullDisk(t *testing.T) {
	m := Machine{Console: "/dev/full"}
	c, w, err := m.openConsole()
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	go c.follow(c.read)
	fmt.Fprintln(w, "line")
	w.Close()
	<-c.done
	if tail, _, err := c.end(); tail != "line" || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("%q, %v", tail, err)
	}
}
