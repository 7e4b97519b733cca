package doctor

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/kmod"
)

func TestRefcountCheck(t *testing.T) {
	number := func(n int) *int { return &n }
	modules := []kmod.Module{{Name: "a", Refs: number(-1), RefsNegative: true}, {Name: "b", Refs: number(-1)}, {Name: "c", Refs: number(-2), RefsNegative: true}, {Name: "d"}}
	for _, test := range []struct {
		modules []kmod.Module
		err     error
		have    Have
		note    string
	}{
		{modules, nil, no, "a (-1), c (-2): an unload"},
		{modules[1:2], nil, yes, ""},
		{nil, nil, yes, ""},
		{nil, kmod.ErrNoModules, yes, "no modules"},
		{nil, errors.New("two\nlines"), Unknown, "two lines"},
	} {
		c := refcountCheck(test.modules, test.err)
		if c.Have != test.have || !strings.Contains(c.Note, test.note) || test.note == "" && c.Note != "" {
			t.Errorf("%v: %+v, want %s and %q", test.err, c, test.have, test.note)
		}
	}
}

func TestLoginCheck(t *testing.T) {
	for _, test := range []struct {
		immutable bool
		err       error
		have      Have
		note      string
	}{
		{true, nil, yes, "nobody can change one that is set"},
		{false, nil, no, "root can change one that is set"},
		{false, os.ErrNotExist, no, "no login uids"},
		{false, errors.New("two\nlines"), Unknown, "two lines"},
	} {
		c := loginCheck(test.immutable, test.err)
		if c.Have != test.have || !strings.Contains(c.Note, test.note) {
			t.Errorf("immutable %t, %v: %+v, want %s and %q", test.immutable, test.err, c, test.have, test.note)
		}
	}
}
