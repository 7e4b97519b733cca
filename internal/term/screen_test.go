package term

import (
	"bufio"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/creack/pty"
	"github.com/kmodtrace/kmodtrace/internal/cells"
)

// TestScreen: nothing steers a terminal but what the program means to, and what is no
// terminal gets the bytes as they are.
func TestScreen(t *testing.T) {
	master, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	lines := bufio.NewReader(master)
	w := OnScreen(terminal)
	if !ThemeOf(w).Colour && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" {
		t.Error("no colours on a terminal")
	}
	for text, want := range map[string]string{
		Theme{Colour: true}.Paint(cells.Bad, "red ✓") + "\n": "\x1b[31mred ✓\x1b[0m\r\n",
		"\x1b[2J\u009b2J\u202e\x9b\n":                        `\x1b[2J\u009b2J\u202e\x9b` + "\r\n",
	} {
		io.WriteString(w, text)
		if got, err := lines.ReadString('\n'); got != want || err != nil {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
	if err := Steer(w, Clear+"\n"); err != nil {
		t.Error(err)
	}
	if got, _ := lines.ReadString('\n'); !strings.HasPrefix(got, Clear) {
		t.Errorf("the screen was not cleared: %q", got)
	}
	foreign, flush := GuestText(w)
	io.WriteString(foreign, "\x1b[31mred\n\xe2")
	flush()
	io.WriteString(terminal, "\n")
	for _, want := range []string{`\x1b[31mred` + "\r\n", `\xe2` + "\r\n"} {
		if got, _ := lines.ReadString('\n'); got != want {
			t.Errorf("a guest's text: %q, want %q", got, want)
		}
	}

	r, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	const bytes = "\x1b[2J\xff\r\n"
	io.WriteString(OnScreen(pipe), bytes)
	to, _ := GuestText(pipe)
	io.WriteString(to, bytes)
	pipe.Close()
	if got, err := io.ReadAll(r); string(got) != bytes+bytes || err != nil {
		t.Errorf("a pipe got %q, %v", got, err)
	}
}
