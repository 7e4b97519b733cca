package cause

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestSentencesOnce: no sentence about a module or its file stands in two places, where one
// could change without the other.
func TestSentencesOnce(t *testing.T) {
	sources, err := filepath.Glob("*.go")
	if err != nil || len(sources) == 0 {
		t.Fatal(sources, err)
	}
	// A sentence with an optional part is the same as one with it, or about a target.
	same := strings.NewReplacer("[", "", "]", "", "{target}", "{file}")
	files, seen := token.NewFileSet(), map[string]token.Pos{}
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(files, source, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			if text = same.Replace(text); !strings.Contains(text, "{module}") && !strings.Contains(text, "{file}") || !strings.Contains(text, " ") {
				return true
			}
			if first, again := seen[text]; again {
				t.Errorf("%s and %s: %q", files.Position(first), files.Position(literal.Pos()), text)
			}
			seen[text] = literal.Pos()
			return true
		})
	}
	if len(seen) < 25 {
		t.Errorf("only %d sentences found", len(seen))
	}
}
