package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSecurityPage: each test that SECURITY.md names for a promise is there.
func TestSecurityPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(sourceRoot, "SECURITY.md"))
	if err != nil {
		t.Skipf("no sources around: %v", err)
	}
	defined := make(map[string]bool)
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err = filepath.WalkDir(sourceRoot, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, match := range function.FindAllStringSubmatch(string(text), -1) {
			defined[match[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\bTest\w+`).FindAllString(string(page), -1)
	if len(named) == 0 {
		t.Fatal("it names no tests")
	}
	for _, name := range named {
		if !defined[name] {
			t.Errorf("there is no %s", name)
		}
	}
}
