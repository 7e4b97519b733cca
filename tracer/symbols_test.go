package tracer

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const kallsyms = `ffffffff81000000 T _stext
ffffffff81000000 T _text
ffffffff81000100 t misc_open
ffffffff81000300 T chrdev_open
ffffffff81000280 d not_code
ffffffffc0001000 t settle	[taker]
ffffffffc0001060 t taker_init	[taker]
0000000000000000 A fixed_percpu_data
`

func TestSymbols(t *testing.T) {
	var s Symbols
	if err := s.parse(strings.NewReader(kallsyms), nil); err != nil {
		t.Fatal(err)
	}
	for address, want := range map[Address]string{
		0xffffffff81000000: "_stext+0x0",
		0xffffffff81000184: "misc_open+0x84",
		0xffffffff810002ff: "misc_open+0x1ff",
		0xffffffff81000300: "chrdev_open+0x0",
		0xffffffffc000101e: "settle+0x1e [taker]",
		0xffffffffc0001060: "taker_init+0x0 [taker]",
		0xffffffffc0901060: "",
		0xffffffff80ffffff: "",
		0xffffffffffffffff: "",
		0:                  "",
	} {
		got, ok := s.Find(address)
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("%s: %q, %t, want %q", address, got, ok, want)
		}
		near := Symbols{Around: address}
		if err := near.parse(strings.NewReader(kallsyms), nil); err != nil && !errors.Is(err, ErrNoSymbols) {
			t.Fatal(err)
		}
		if same, found := near.Find(address); same != got || found != ok {
			t.Errorf("%s: %q of those around it, %q of all", address, same, got)
		}
	}
	// A call that is the last thing in its function returns to the next one.
	if got, ok := s.FindCall(0xffffffff81000300); !ok || got.String() != "misc_open+0x200" {
		t.Errorf("call that returns to another function: %q", got)
	}
	if got, ok := s.FindCall(0); ok {
		t.Errorf("call from nowhere: %q", got)
	}
}

func TestSymbolsEmpty(t *testing.T) {
	var s Symbols
	if got, ok := s.Find(0xffffffff81000000); ok {
		t.Errorf("a symbol in no table: %q", got)
	}
	if err := (&Symbols{File: filepath.Join(t.TempDir(), "none")}).Read(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// TestSymbolsHostile: what is not a table errs or is left out, and what is kept of a
// table fails no later question.
func TestSymbolsHostile(t *testing.T) {
	hidden := strings.ReplaceAll(strings.ReplaceAll(kallsyms, "ffffffff81", "0000000000"), "ffffffffc0", "0000000000")
	hidden = strings.NewReplacer("000100 ", "000000 ", "000300 ", "000000 ", "001000 ", "000000 ", "001060 ", "000000 ").Replace(hidden)
	for what, text := range map[string]string{
		"empty":      "",
		"hidden":     hidden,
		"no numbers": "x t a\n-1 t b\n fffffffffffffffff t c\n",
		"no names":   "ffffffff81000000 t\nffffffff81000001 t \nffffffff81000001\n\n   \n",
		"long name":  "ffffffff81000000 t " + strings.Repeat("x", maxSymbolName+1) + "\n",
	} {
		if err := new(Symbols).parse(strings.NewReader(text), nil); !errors.Is(err, ErrNoSymbols) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := new(Symbols).parse(strings.NewReader(strings.Repeat("x", 1<<20)), nil); err == nil {
		t.Error("a line without an end is a table")
	}
	var s Symbols
	if err := s.parse(strings.NewReader("ffffffff81000000 t \xff\x1b[2J\t[\xfe]\n"), nil); err != nil {
		t.Fatal(err)
	}
	if got, _ := s.Find(0xffffffff81000000); got.Name != "\\xff\x1b[2J" || got.Module != "\\xfe" {
		t.Errorf("not UTF-8: %q of %q", got.Name, got.Module)
	}
}

// TestSymbolsOfFreedInits: what lies outside its module is another's by now.
func TestSymbolsOfFreedInits(t *testing.T) {
	const text = "ffff000000001000 t taker_settle\t[taker]\nffff000000001800 t llc_init\t[llc]\nffff000000009000 t llc_open\t[llc]\n"
	var s Symbols
	loaded := map[string]extent{
		"taker": {start: 0xffff000000001000, size: 0x1000}, "llc": {start: 0xffff000000009000, size: 0x1000},
	}
	if err := s.parse(strings.NewReader(text), loaded); err != nil {
		t.Fatal(err)
	}
	if got, ok := s.Find(0xffff000000001810); !ok || got.Name != "taker_settle" {
		t.Errorf("%v, %t", got, ok)
	}
}
