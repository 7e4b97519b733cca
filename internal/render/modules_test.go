package render

import (
	"bytes"
	"strings"
	"testing"

	"github.com/kmodtrace/kmodtrace/kmod"
)

// TestTableFits: no line is wider than the terminal, whatever the names are.
func TestTableFits(t *testing.T) {
	modules := []kmod.Module{
		{Name: strings.Repeat("x", 55), Holders: []string{strings.Repeat("y", 300)}},
		{Name: "\x1b[2J", Version: "é\xff"},
	}
	for _, width := range []int{1, 2, 20, 80, 200} {
		var out bytes.Buffer
		if err := ModuleTable(modules, nil, width).Print(&out); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			line = strings.TrimSuffix(line, "\n")
			if n := len([]rune(line)); n > width || strings.ContainsRune(line, 0x1b) {
				t.Errorf("width %d: %d columns: %q", width, n, line)
			}
		}
	}
}
