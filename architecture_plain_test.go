//go:build !race

package kmodtrace

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// architecture is the page that says how the project is built.
const architecture = "docs/architecture.md"

var (
	fenced   = regexp.MustCompile("(?s)```.*?```")
	quoted   = regexp.MustCompile("`([^`]+)`")
	testName = regexp.MustCompile(`^(Test|Fuzz|Benchmark)[A-Z]\w*$`)
	// A path has a slash inside or at its end, or a file's extension. One that begins with a
	// slash is not of this repository.
	pathName = regexp.MustCompile(`^[\w.*-]+(/[\w.*-]+)*(/|/[\w.*-]+|\.(go|h|c|md|json|yaml|service|html|txtar))$`)
	name     = regexp.MustCompile(`^\w+(\.\w+)*$`)
	// A constant with its value, as the sources have it.
	constant = regexp.MustCompile(`^(\w+ = |#define \w+ |max_entries, )`)
	word     = regexp.MustCompile(`\w+`)
	spaces   = regexp.MustCompile(`[ \t]+`)
)

// TestArchitecturePage: what the page puts into backquotes exists: files, tests, names, and
// constants with the values that the page gives them.
func TestArchitecturePage(t *testing.T) {
	page, err := os.ReadFile(architecture)
	if err != nil {
		t.Fatal(err)
	}
	s := readSources(t)
	found := make(map[string]int)
	for _, m := range quoted.FindAllStringSubmatch(fenced.ReplaceAllString(string(page), ""), -1) {
		kind, exists := s.check(t, m[1])
		found[kind]++
		if !exists {
			t.Errorf("there is no %s %s", kind, m[1])
		}
	}
	for _, kind := range []string{"path", "test", "name", "constant"} {
		if found[kind] < 10 {
			t.Errorf("the page has only %d of the kind %s: %v", found[kind], kind, found)
		}
	}
}

// sources are what the names of the page are looked up in.
type sources struct {
	tests map[string]bool
	words map[string]bool
	text  string // blanks made equal
}

func readSources(t *testing.T) *sources {
	t.Helper()
	s := &sources{tests: make(map[string]bool), words: make(map[string]bool)}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	var all strings.Builder
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if path != "." && strings.HasPrefix(entry.Name(), ".") || path == "bin" {
				return fs.SkipDir
			}
			return nil
		}
		extension := filepath.Ext(path)
		script := filepath.Dir(path) == "scripts" && extension == ""
		if extension != ".go" && extension != ".h" && extension != ".c" && path != "Makefile" && !script || path == "architecture_plain_test.go" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, "_test.go") {
			for _, m := range function.FindAllSubmatch(text, -1) {
				s.tests[string(m[1])] = true
			}
		}
		for _, w := range word.FindAll(text, -1) {
			s.words[string(w)] = true
		}
		all.Write(text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.text = spaces.ReplaceAllString(all.String(), " ")
	s.tests["TestArchitecturePage"] = true
	return s
}

// check says what kind of thing a text names, and whether that exists. What is none of these,
// as a command, is checked by the tests of all pages or not at all.
func (s *sources) check(t *testing.T, text string) (kind string, exists bool) {
	t.Helper()
	switch {
	case testName.MatchString(text):
		return "test", s.tests[text]
	case constant.MatchString(text):
		return "constant", s.says(text)
	case pathName.MatchString(text), text == "Makefile":
		files, err := filepath.Glob(text)
		if err != nil {
			t.Fatal(err)
		}
		return "path", len(files) > 0
	case name.MatchString(text):
		for part := range strings.SplitSeq(text, ".") {
			if !s.words[part] {
				return "name", false
			}
		}
		return "name", true
	}
	return "other", true
}

// says tells whether the sources have a text that is not part of a longer word or number.
func (s *sources) says(text string) bool {
	for rest := s.text; ; {
		_, after, found := strings.Cut(rest, text)
		if !found {
			return false
		}
		before := rest[:len(rest)-len(after)-len(text)]
		if !word.MatchString(before[max(0, len(before)-1):]) && !word.MatchString(after[:min(1, len(after))]) {
			return true
		}
		rest = after
	}
}
