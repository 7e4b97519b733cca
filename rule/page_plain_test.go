//go:build !race

package rule

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestPage: docs/rules.md lists the rules and functions that there are, and its example works.
func TestPage(t *testing.T) {
	text, err := os.ReadFile("../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	set, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for _, r := range set.Rules() {
		if row := fmt.Sprintf("| `%s` | %s | %s |\n", r.ID, r.Severity, r.Title); !strings.Contains(page, row) {
			t.Errorf("the page lacks: %s", row)
		}
	}
	if rows := strings.Count(page, "` | ") - len(Functions); rows != len(set.Rules()) {
		t.Errorf("%d rows; there are %d rules", rows, len(set.Rules()))
	}
	for _, f := range Functions {
		if row := fmt.Sprintf("| `%s` | %s |\n", f.Call, f.Means); !strings.Contains(page, row) {
			t.Errorf("the page lacks: %s", row)
		}
	}
	example := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(page)
	if example == nil {
		t.Fatal("it has no example")
	}
	own, err := Parse("example", []byte(example[1]))
	if err != nil {
		t.Fatal(err)
	}
	if failures, tests := own.Test(); len(failures) > 0 || tests != 3 {
		t.Errorf("%d tests: %v", tests, failures)
	}
	for _, bound := range []string{"100,000 steps", "16,384 keys"} {
		if !strings.Contains(page, bound) {
			t.Errorf("the page lacks %q", bound)
		}
	}
	if maxCost != 100_000 || maxKeys != 16384 {
		t.Error("the bounds are not those of the page")
	}
}
