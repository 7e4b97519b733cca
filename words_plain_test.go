//go:build !race

package kmodtrace

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// retired are the words that other words replaced : in no
// identifier, comment, help text, message or page may one come back. Help texts are strings in
// the sources.
var retired = map[string]string{
	"doer": "actor", "doers": "actors",
	"kin":    "ancestor",
	"wisher": "requester", "wishers": "requesters",
	"untold": "incomplete, dropped or unrecorded: what it is", "tossed": "dropped, or discarded",
	"witness": "proof", "witnesses": "proof",
	"folder": "directory", "folders": "directories",
	"mend": "fix", "mends": "fixes", "mended": "fixed",
}

// retiredNames are words that are plain English in a sentence, and were metaphors as the name of
// a thing: in no identifier of Go and C, and in no field of JSON.
var retiredNames = map[string]string{
	"account": "record", "accounts": "records", "spare": "backup", "spares": "backups",
	"hand": "proof.Session", "held": "deferred",
}

// stable are names of codes, which stay as they are: a holder holds.
var stable = []string{"HeldByModules", "HeldByReferences"}

// allowed are uses with another meaning, by path, and why they stay.
var allowed = []struct{ path, word, because string }{
	{"words_plain_test.go", "", "it lists the words"},
	{"CHANGELOG.md", "", "it names what was renamed"},
	{"docs/compatibility.md", "", "it names the fields of version 0 of JSON"},
	{"internal/jsonline/", "", "it reads version 0 of JSON"},
	{"docs/performance.md", "account", "profiles of an earlier release show its packages"},
	{"cause/", "held", "what says the stable codes is called after them"},
	{"kmod/", "held", "a module is held by who uses it"},
	{"internal/lab/", "held", "a lock is held"},
	{"internal/history/", "held", "a lock is held"},
	{"journal/", "held", "a lock is held"},
	{"provenance/", "held", "a file is held open"},
	{"packaging/tools/chart/", "account", "the API of Kubernetes has a ServiceAccount"},
}

func isAllowed(path, word string) bool {
	for _, a := range allowed {
		if strings.HasPrefix(path, a.path) && (a.word == "" || a.word == word) {
			return true
		}
	}
	return false
}

var (
	letters = regexp.MustCompile(`[A-Za-z]+`)
	cName   = regexp.MustCompile(`\b[A-Za-z_][A-Za-z0-9_]*\b`)
	comment = regexp.MustCompile(`(?s)/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"`)
)

// TestRetiredWords: each thing has one name, everywhere.
func TestRetiredWords(t *testing.T) {
	files := 0
	for path, text := range written(t) {
		files++
		for n, line := range strings.Split(text, "\n") {
			for _, w := range parts(line) {
				if better, ok := retired[w]; ok && !isAllowed(path, w) {
					t.Errorf("%s:%d: %q is retired: %s", path, n+1, w, better)
				}
			}
		}
		for _, name := range names(t, path, text) {
			if slices.ContainsFunc(stable, func(s string) bool { return strings.EqualFold(s, name) }) {
				continue
			}
			for _, w := range parts(name) {
				if better, ok := retiredNames[w]; ok && !isAllowed(path, w) {
					t.Errorf("%s: the name %s has %q, which is retired: %s", path, name, w, better)
				}
			}
		}
	}
	if files < 500 {
		t.Errorf("only %d files were read", files)
	}
}

// parts gives the words of a text in small letters. Names are taken apart: maxHeld, send_kin.
func parts(text string) (words []string) {
	for _, run := range letters.FindAllString(text, -1) {
		begin := 0
		runes := []rune(run)
		for i := 1; i <= len(runes); i++ {
			if i == len(runes) || unicode.IsUpper(runes[i]) && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
				words = append(words, strings.ToLower(string(runes[begin:i])))
				begin = i
			}
		}
	}
	return words
}

// names gives what a file declares in Go, uses in C, and has as fields in a schema.
func names(t *testing.T, path, text string) (all []string) {
	t.Helper()
	switch filepath.Ext(path) {
	case ".go":
		file, err := parser.ParseFile(token.NewFileSet(), path, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				all = append(all, id.Name)
			}
			if field, ok := n.(*ast.Field); ok && field.Tag != nil {
				all = append(all, field.Tag.Value)
			}
			return true
		})
	case ".c", ".h":
		all = cName.FindAllString(comment.ReplaceAllString(text, " "), -1)
	case ".json":
		if strings.HasPrefix(path, "docs/schema/") {
			for _, m := range regexp.MustCompile(`"(\w+)":`).FindAllStringSubmatch(text, -1) {
				all = append(all, m[1])
			}
		}
	}
	return all
}

// written gives each file that people wrote, by its path. Recordings and generated files are
// not among them.
func written(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		path = filepath.ToSlash(path)
		switch {
		case entry.IsDir() && path != "." && (strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".ci" || path == "bin" || path == "dist" || path == "LICENSES"),
			entry.IsDir() && strings.Contains(path, "testdata/") && !strings.Contains(path, "cmd/kmodtrace/testdata/"), // recordings and golden files
			entry.IsDir() && strings.HasSuffix(path, "testdata/version0"):
			return fs.SkipDir
		case entry.IsDir(), strings.Contains(path, "_bpfel."), strings.HasSuffix(path, "_string.go"):
			return nil
		}
		switch filepath.Ext(path) {
		case ".go", ".c", ".h", ".md", ".json", ".yaml", ".txtar", ".sql", ".html", ".service", ".sh", "":
		default:
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if entry.Type().IsRegular() && len(text) < 1<<20 && !strings.Contains(string(text[:min(len(text), 512)]), "\x00") {
			all[path] = string(text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestParts: the check of words sees them inside of names.
func TestParts(t *testing.T) {
	for text, want := range map[string]string{
		"maxHeld": "max held", "send_kin(task)": "send kin task", "KIND_KIN": "kind kin", "parseHTMLText": "parse html text", "the kernel's kin": "the kernel s kin",
	} {
		if got := strings.Join(parts(text), " "); got != want {
			t.Errorf("%q has %q, want %q", text, got, want)
		}
	}
}
