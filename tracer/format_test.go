package tracer

import (
	"strings"
	"testing"
)

func text(s string) argument        { return argument{text: s} }
func number(n uint64) argument      { return argument{number: n} }
func minus(n int64) argument        { return argument{number: uint64(n)} }
func args(a ...argument) []argument { return a }

// TestFormatted: what callers of request_module give, and what none gives.
func TestFormatted(t *testing.T) {
	for _, c := range []struct {
		format    string
		arguments []argument
		want      string
	}{
		{"", nil, ""},
		{"plain", nil, "plain"},
		{"fs-%s", args(text("xfs")), "fs-xfs"},
		{"net-pf-%d-proto-%d-type-%d", args(number(16), minus(-1), number(7)), "net-pf-16-proto--1-type-7"},
		{"char-major-%d-%d", args(number(4), number(1<<32+2)), "char-major-4-2"},
		{"%.*s", args(number(3), text("abcdef")), "abc"},
		{"%.*s", args(number(30), text("abcdef")), "abcdef"},
		{"%.*s|", args(minus(-3), text("abcdef")), "|"},
		{"%.2s|%.s", args(text("abc"), text("abc")), "ab|"},
		{"%5s|%-5s|", args(text("ab"), text("ab")), "   ab|ab   |"},
		{"%02x:%X", args(number(0xa), number(0xfeed)), "0a:FEED"},
		{"%u %lu %llu %zu", args(minus(-1), minus(-1), minus(-1), minus(-1)), "4294967295 18446744073709551615 18446744073709551615 18446744073709551615"},
		{"%d %ld %lld", args(minus(-1), minus(-1), number(1<<40)), "-1 -1 1099511627776"},
		{"%hhx %hu %hd", args(number(0x1ff), number(0x1ffff), number(0xffff)), "ff 65535 -1"},
		{"100%%", nil, "100%"},
		{"%5%", nil, "%"},
		// What it cannot tell.
		{"%s", nil, "…"},
		{"%s-%s", args(text("a")), "a-…"},
		{"%", nil, "…"},
		{"%-", nil, "…"},
		{"%.", nil, "…"},
		{"%.*", args(number(1)), "…"},
		{"%ll", nil, "…"},
		{"%p", args(number(1)), "…"},
		{"%n%c", args(number(1), number(65)), "……"},
		{"%+d %#x % d", args(number(1), number(1), number(1)), "… … …"},
		{"%.3d", args(number(1)), "…"},
		{"%999999999d", args(number(1)), "…"},
		{"%*d", args(number(9), number(1)), "…d"},
		// Arguments are not formats.
		{"%s", args(text("%s%n%d")), "%s%n%d"},
		{"\x1b[31m%s\xff", args(text("\xfe")), "\x1b[31m\xfe\xff"},
	} {
		if got := formatted(c.format, c.arguments); got != c.want {
			t.Errorf("%q: %q, want %q", c.format, got, c.want)
		}
	}
}

// TestDecodeFormat: a name that is cut inside a character is text all the same.
func TestDecodeFormat(t *testing.T) {
	var w bpfFormatEvent
	w.H.Kind = uint16(KindRequestFormat)
	copy(w.Format[:], "a-%.*s")
	w.Arg[0] = 1
	copy(w.Text[1][:], "ü\xff")
	e, err := decode(bytesOf(&w))
	if err != nil || e.Request == nil || e.Request.Name != `a-\xc3` || !e.Request.Refused || e.Request.Denied {
		t.Errorf("%+v, %v", e.Request, err)
	}
}

func FuzzFormatted(f *testing.F) {
	f.Add("net-pf-%d-%.*s%02x%%", "text", uint64(7))
	f.Fuzz(func(t *testing.T, format, s string, n uint64) {
		a := argument{number: n, text: s}
		got := formatted(format, args(a, a, a))
		const most = 3 * 999 // the widest of three arguments
		if len(got) > len(format)*len("…")+3*len(s)+most {
			t.Errorf("%d bytes of a format of %d", len(got), len(format))
		}
		if !strings.Contains(format, "%") && got != format {
			t.Errorf("%q: %q", format, got)
		}
	})
}
