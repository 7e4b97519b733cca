package doctor

import (
	"errors"
	"os"
	"strings"
	"testing"
)

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
