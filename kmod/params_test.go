package kmod

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestQuote(t *testing.T) {
	for _, c := range []struct {
		params Params
		want   string
	}{
		{nil, ""},
		{Params{"debug"}, "debug"},
		{Params{"a=1", "b=2"}, "a=1 b=2"},
		{Params{"who=big world"}, `who="big world"`},
		{Params{"who=tab\there"}, "who=\"tab\there\""},
		{Params{"who="}, "who="},
		{Params{"who=a=b c"}, `who="a=b c"`},
		{Params{`who="big world"`}, `who="big world"`},
		{Params{"who=\xff\xfe"}, "who=\xff\xfe"},
		{Params{"who=caf\u00e9"}, "who=caf\u00e9"},
		{Params{"who=\u00e0 la carte"}, "who=\"\u00e0 la carte\""},
		{Params{"who=\u00e0"}, "who=\"\u00e0\""}, // its second byte is the kernel's blank
		{Params{`who=a"b"c`}, `who=a"b"c`},
		{Params{`who='a'`}, `who='a'`},
		{Params{`who=a\b`}, `who=a\b`},
	} {
		got, err := c.params.Quote()
		if err != nil || got != c.want {
			t.Errorf("%q: got %q, %v; want %q", c.params, got, err, c.want)
		}
	}
}

func TestQuoteRefuses(t *testing.T) {
	for _, params := range []Params{
		{""}, {"=1"}, {"--"}, {"a=1", "--", "b=2"}, {"a=\x00"}, {"a b=1"}, {`a"=1`},
		{`who=say "hi there"`}, {`who="`}, {`who=a"b`}, {`who="a"b"`}, {"\ta=1"},
	} {
		if got, err := params.Quote(); !errors.Is(err, ErrBadParams) {
			t.Errorf("%q: got %q, %v", params, got, err)
		}
	}
}

// TestParseParams: what the kernel's next_arg makes of each string, traced by hand.
func TestParseParams(t *testing.T) {
	for text, want := range map[string]Params{
		"":                    nil,
		"  \t\n ":             nil,
		"a":                   {"a"},
		" a=1  b=2 ":          {"a=1", "b=2"},
		`who="big world" b=1`: {"who=big world", "b=1"},
		`"who=big world" b=1`: {"who=big world", "b=1"},
		`who=big" "world`:     {`who=big" "world`},
		`who=""`:              {"who="},
		"who=\xff":            {"who=\xff"},
		"a\xa0b":              {"a", "b"},
	} {
		got, err := ParseParams(text)
		if err != nil || cmp.Diff(want, got) != "" {
			t.Errorf("%q: got %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{`a="b`, `a=1 -- b=2`, `"`, "a=\x00"} {
		if got, err := ParseParams(text); !errors.Is(err, ErrBadParams) {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
}

// FuzzParams: what Quote writes, ParseParams reads back as it was.
func FuzzParams(f *testing.F) {
	f.Add("who=big world", "debug")
	f.Add("a=\xa0", `b="c d"`)
	f.Fuzz(func(t *testing.T, a, b string) {
		quoted, err := Params{a, b}.Quote()
		if err != nil {
			t.Skip()
		}
		got, err := ParseParams(quoted)
		if err != nil {
			t.Fatalf("%q: %v", quoted, err)
		}
		again, err := got.Quote()
		if err != nil || len(got) != 2 {
			t.Fatalf("%q became %q, %v", quoted, got, err)
		}
		twice, err := ParseParams(again)
		if diff := cmp.Diff(got, twice); err != nil || diff != "" {
			t.Fatalf("%q: %v %s", again, err, diff)
		}
	})
}
