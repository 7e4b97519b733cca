package wire

import (
	"encoding/binary"
	"testing"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"":                   "",
		"plain":              "plain",
		"grün":               "grün",
		"\xff":               `\xff`,
		"a\xc3":              `a\xc3`,
		"a\xed\xa0\x80b":     `a\xed\xa0\x80b`,
		"control\x1b[31mred": "control\x1b[31mred", // the renderer's business, not data's
	} {
		if got := Printable(in); got != want {
			t.Errorf("Printable(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestView: a struct is seen where it lies, copied where it does not lie as the kernel would have it,
// and not made of too few bytes.
func TestView(t *testing.T) {
	type pair struct{ A, B uint32 }
	raw := []byte{0, 1, 0, 0, 0, 2, 0, 0, 0, 9}
	for offset := range 2 {
		p, err := View[pair](raw[offset:])
		if err != nil {
			t.Fatal(err)
		}
		want := pair{1 << 8, 2 << 8}
		if offset == 1 {
			want = pair{1, 2}
		}
		if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 && *p != want {
			t.Errorf("from %d on: %+v, want %+v", offset, *p, want)
		}
	}
	if p, err := View[pair](raw[:7]); err == nil {
		t.Errorf("of 7 bytes: %+v", *p)
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{"": "", "\x00": "", "sh\x00rest": "sh", "sh\xff\x00": `sh\xff`, "full": "full"} {
		if got := Text([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
