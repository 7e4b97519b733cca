package kmodtrace

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// owned are facts with the one place that knows them; two places that know the same thing
// disagree one day.
var owned = []struct{ what, text, owner string }{
	{"what uname tells", "unix.Uname(", "internal/procfs"},
	{"the id of the kernel's run", `proc/sys/kernel/random/boot_id"`, "internal/procfs"},
	{"the number of the first pid namespace", "4026531836", "internal/procfs"},
	{"how many references a module has", `, "refcnt")`, "internal/procfs"},
	{"the endings of module files", `".ko.zst"`, "internal/modname"},
	{"the lines of an oops", `Modules linked in:`, "oops"},
	{"the words for taints", `"out-of-tree"`, "internal/taint"},
}

// TestOwners: no other package writes down again what one owns.
func TestOwners(t *testing.T) {
	found := make(map[string]bool)
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != "." && strings.HasPrefix(entry.Name(), ".") {
			return fs.SkipDir
		}
		if entry.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, fact := range owned {
			if !strings.Contains(string(text), fact.text) {
				continue
			}
			if filepath.ToSlash(filepath.Dir(path)) == fact.owner {
				found[fact.what] = true
			} else {
				t.Errorf("%s has %q: %s belongs to %s", path, fact.text, fact.what, fact.owner)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, fact := range owned {
		if _, err := os.Stat(fact.owner); err != nil || !found[fact.what] {
			t.Errorf("%s does not have %q any more: %v", fact.owner, fact.text, err)
		}
	}
}
