package addr2line

import (
	"bytes"
	"testing"

	"github.com/kmodtrace/kmodtrace/internal/koimage"
)

// TestHostile: a file that is not a module, or is damaged, has no lines and causes no panic. TestTry and
// TestReportLines check in machines of the lab that lines are right.
func TestHostile(t *testing.T) {
	image := koimage.Hello().Bytes()
	for name, data := range map[string][]byte{
		"nothing": nil, "text": []byte("text"), "header only": image[:64], "cut": image[:len(image)/2], "zeros": make([]byte, 1<<16),
	} {
		if m, err := New(data, 1<<20); err == nil && (m.Function("init", 1) != "") {
			t.Errorf("%s: a line", name)
		}
	}
	for i := range image {
		for _, value := range []byte{0, 0xff, image[i] ^ 0x80} {
			damaged := bytes.Clone(image)
			damaged[i] = value
			m, err := New(damaged, 1<<20)
			if err != nil {
				continue
			}
			if line := m.Function("hello_init", 1); line != "" {
				t.Fatalf("byte %d as %#x: line %s", i, value, line)
			}
			m.Section(".init.text", 0)
		}
	}
	before := bytes.Clone(image)
	if _, err := New(image, 1<<20); err != nil || !bytes.Equal(before, image) {
		t.Errorf("%v, or the image was changed", err)
	}
}
