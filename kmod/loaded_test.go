package kmod

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kmodtrace/kmodtrace/internal/koimage"
)

func TestIdentity(t *testing.T) {
	for _, test := range []struct {
		a, b Identity
		same bool
	}{
		{Identity{"ab", "S"}, Identity{"ab", "S"}, true},
		{Identity{"ab", ""}, Identity{"ab", ""}, true},
		{Identity{"ab", "S"}, Identity{"cd", "S"}, false}, // the same sources, built otherwise
		{Identity{"ab", "S"}, Identity{"ab", "T"}, false},
		{Identity{"ab", "S"}, Identity{"", "S"}, false}, // one of them is not told
		{Identity{"", "S"}, Identity{"", "S"}, true},
		{Identity{"", "S"}, Identity{"", "T"}, false},
		{Identity{}, Identity{}, false}, // nothing to tell them by
	} {
		if got := test.a.Same(test.b); got != test.same || test.b.Same(test.a) != got {
			t.Errorf("%+v and %+v: %v", test.a, test.b, got)
		}
	}
}

func TestLook(t *testing.T) {
	root := rootOf(t, map[string]string{
		"sys/module/hello/initstate":                      "live\n",
		"sys/module/hello/srcversion":                     "533BB7E5866E52F63B9ACCB\n",
		"sys/module/hello/notes/.note.gnu.build-id":       "\x04\x00\x00\x00\x03\x00\x00\x00\x03\x00\x00\x00GNU\x00\xab\xcd\xef\x00",
		"sys/module/hello/parameters/whom":                "big world\n",
		"sys/module/hello/parameters/lines":               "a\nb\n",
		"sys/module/hello/parameters/bare":                "",
		"sys/module/cut/initstate":                        "going\n",
		"sys/module/cut/notes/.note.gnu.build-id":         "\x04\x00\x00\x00\xff\xff\xff\xff\x03\x00\x00\x00GNU\x00\xab",
		"sys/module/builtin/parameters/whom":              "x\n",
		"sys/module/hello/parameters/directory/something": "",
	})
	opts := &ListOptions{Root: root}
	l, err := Look("hello", opts)
	if err != nil || l.Identity != (Identity{"abcdef", "533BB7E5866E52F63B9ACCB"}) || l.State != "live" || l.Instance == 0 {
		t.Errorf("%+v, %v", l, err)
	}
	if l, err := Look("cut", opts); err != nil || l.Identity != (Identity{}) || l.State != "going" {
		t.Errorf("%+v, %v", l, err)
	}
	shown, unreadable, err := LoadedParams("hello", opts)
	want := []Setting{{"bare", ""}, {"lines", "a\nb"}, {"whom", "big world"}}
	if diff := cmp.Diff(want, shown); diff != "" || err != nil || len(unreadable) != 1 || unreadable[0] != "directory" {
		t.Errorf("%v, not readable %v\n%s", err, unreadable, diff)
	}
	for _, module := range []string{"nosuch", "builtin"} {
		if _, err := Look(module, opts); !errors.Is(err, ErrNotLoaded) {
			t.Errorf("%s: %v", module, err)
		}
		if _, _, err := LoadedParams(module, opts); !errors.Is(err, ErrNotLoaded) {
			t.Errorf("%s: %v", module, err)
		}
	}
}

// TestStructName: the kernel goes by the name in struct module, wherever in it that is.
func TestStructName(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "info",
		"\x00\x00\x00\x00\x00\x00\x00\x00real": "real",
		"\x00real\x00\x00":                     "real",
		"re-al":                                "re_al",
		"real\x00more":                         "info", // more than a name is set: another layout
		"\xff\xfe":                             "info",
		"../real":                              "info",
	} {
		m := koimage.Module{This: true, Struct: []byte(text), Info: []string{"license=GPL", "name=info"}}
		f, err := Parse(m.Bytes())
		if err != nil || f.Name != want {
			t.Errorf("%q: %q, %v; want %q", text, f.Name, err, want)
		}
	}
}
