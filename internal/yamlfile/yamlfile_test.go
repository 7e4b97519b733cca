package yamlfile

import (
	"strings"
	"testing"
)

// TestUnmarshal: what is wrong with a text is said on one line, with its place.
func TestUnmarshal(t *testing.T) {
	for text, want := range map[string]string{
		"":                   "",
		"# nothing\n":        "",
		"name: x\n":          "",
		"nam: x\n":           `line 1, column 1: unknown field "nam"`,
		"\nname:\n  - x\n":   "line 3, column ",
		"name: x\nname: y\n": "line 2, column 1: ",
		"name: [\n":          "line 1, column ",
		"\x00":               "",
		"name: 'x\n":         "line 1, column ",
	} {
		var v struct {
			Name string `yaml:"name"`
		}
		err := Unmarshal([]byte(text), &v)
		switch {
		case err == nil && want != "":
			t.Errorf("%q: no error, want %s", text, want)
		case err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") || want == "" && text != "\x00"):
			t.Errorf("%q: %q, want %s", text, err, want)
		}
	}
}
