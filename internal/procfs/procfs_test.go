package procfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseSymbol(t *testing.T) {
	for line, want := range map[string]string{
		"ffffffff81000000 T _text":             "ffffffff81000000 T _text []",
		"0000000000000000 t hello_init\t[x_y]": "0000000000000000 t hello_init [x_y]",
		"ffffffffc0 t bpf_prog_1\t[bpf]":       "ffffffffc0 t bpf_prog_1 [bpf]",
	} {
		if s, ok := ParseSymbol([]byte(line)); !ok || fmt.Sprintf("%s %c %s [%s]", s.Address, s.Kind, s.Name, s.Module) != want {
			t.Errorf("%q: %q, %v", line, s, ok)
		}
	}
	for _, line := range []string{"", "ffffffff81000000", "ffffffff81000000 T", "ffffffff81000000  _text", "ffffffff81000000 TT _text"} {
		if got, ok := ParseSymbol([]byte(line)); ok {
			t.Errorf("%q: %q", line, got)
		}
	}
}

func TestHasSymbol(t *testing.T) {
	root := t.TempDir()
	if has, err := HasSymbol(root, "_text"); has || err == nil {
		t.Errorf("without a list: %v, %v", has, err)
	}
	if err := os.Mkdir(filepath.Join(root, "proc"), 0o755); err != nil {
		t.Fatal(err)
	}
	list := "0000000000000000 T _text\n0000000000000000 t hello_init\t[hello]\n"
	if err := os.WriteFile(filepath.Join(root, "proc/kallsyms"), []byte(list), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"_text": true, "hello_init": true, "_tex": false, "hello": false, "": false} {
		if has, err := HasSymbol(root, name); has != want || err != nil {
			t.Errorf("%q: %v, %v", name, has, err)
		}
	}
}

func TestPIDNamespace(t *testing.T) {
	got := PIDNamespace()
	if number, err := strconv.ParseUint(got, 10, 32); err != nil || number == 0 {
		t.Errorf("%q: %v", got, err)
	}
}

func TestLockdownMode(t *testing.T) {
	for text, want := range map[string]string{
		"[none] integrity confidentiality\n": "none", "none [integrity] confidentiality\n": "integrity",
		"none integrity [confidentiality]": "confidentiality", "": "?", "none": "?", "[none": "?",
	} {
		got, ok := LockdownMode(text)
		if !ok {
			got = "?"
		}
		if got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// TestFirstLine: what is not a small regular file has no line, and nothing hangs.
func TestFirstLine(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		write("two", "a b \nc\n"): "a b ", write("bare", "x"): "x", write("empty", ""): "",
		write("long", strings.Repeat("x", MaxLine+1)): "", dir + "/none": "", dir: "", fifo: "",
	} {
		if got := FirstLine(path); got != want {
			t.Errorf("%s: %q", path, got)
		}
	}
}

func TestRunning(t *testing.T) {
	u := Uname()
	if u.Release == "" || u.Version == "" || u.Machine == "" || u.Release != FirstLine("/proc/sys/kernel/osrelease") {
		t.Errorf("%+v", u)
	}
	if id, err := BootID("/"); err != nil || len(id) != 36 {
		t.Errorf("%q, %v", id, err)
	}
}

func TestTainted(t *testing.T) {
	root := t.TempDir()
	if _, err := Tainted(root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
	file := filepath.Join(root, "proc/sys/kernel/tainted")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]uint64{"0\n": 0, "12800\n": 12800, "18446744073709551615\n": 1<<64 - 1} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := Tainted(root); err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-1\n", "many\n", strings.Repeat("1", 1000)} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := Tainted(root); err == nil {
			t.Errorf("%q: %d", text, got)
		}
	}
}
