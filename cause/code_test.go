package cause

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kmodtrace/kmodtrace/docs/schema"
)

// declared gives the codes that code.go declares.
func declared(t *testing.T) []Code {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "code.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var codes []Code
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) == 0 {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Code" {
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			codes = append(codes, Code(text))
		}
		return true
	})
	return codes
}

func listed() []Code {
	var codes []Code
	for _, m := range Codes() {
		codes = append(codes, m.Code)
	}
	return codes
}

func sorted(codes []Code) []Code {
	codes = slices.Clone(codes)
	slices.Sort(codes)
	return codes
}

// TestCodes: every code that is declared has one meaning, whole, and the reverse.
func TestCodes(t *testing.T) {
	if diff := cmp.Diff(sorted(declared(t)), sorted(listed())); diff != "" {
		t.Errorf("declared -, meant +:\n%s", diff)
	}
	for _, m := range Codes() {
		if m.Of == "" || m.Means == "" || m.Because == "" || m.Next == "" {
			t.Errorf("%+v is not whole", m)
		}
		if got, ok := MeaningOf(m.Code); !ok || got != m {
			t.Errorf("%s: %+v, %v", m.Code, got, ok)
		}
	}
	if m, ok := MeaningOf("no-such-code"); ok {
		t.Errorf("%+v", m)
	}
}

// TestSchemaHasTheCodes: the published lists are those of the code.
func TestSchemaHasTheCodes(t *testing.T) {
	type enum struct {
		Enum []Code `json:"enum"`
	}
	var s struct {
		Properties struct {
			Code      enum `json:"code"`
			Remaining struct {
				Items enum `json:"items"`
			} `json:"remaining"`
		} `json:"properties"`
	}
	text, err := fs.ReadFile(schema.Files(), "cause.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]Code{"code": s.Properties.Code.Enum, "remaining": s.Properties.Remaining.Items.Enum} {
		if diff := cmp.Diff(sorted(listed()), sorted(got)); diff != "" {
			t.Errorf("%s: meant -, in the schema +:\n%s", name, diff)
		}
	}
}

// TestRulesAreWhole: what a rule can conclude is a cause that is known, and its words
// can be filled in.
func TestRulesAreWhole(t *testing.T) {
	for i, r := range rules() {
		if _, ok := MeaningOf(r.code); !ok || r.say == "" {
			t.Errorf("rule %d: %+v", i, r)
		}
		for _, template := range []string{r.say, r.next} {
			if left := optionalPart.ReplaceAllString(template, ""); optionalPart.MatchString(left) {
				t.Errorf("%s: brackets inside brackets: %s", r.code, template)
			}
		}
	}
}

// TestEveryCodeIsTested: the tables of the tests have each code.
func TestEveryCodeIsTested(t *testing.T) {
	tested := map[Code]bool{ParameterUnknown: true, ConfigIgnored: true, OptionsIgnored: true, FileHidden: true, LoadFailed: true, KernelReported: true} // TestWarnings, TestConfigIgnored, TestOptionsIgnored, TestFileHidden, TestLoadOfRequest, TestReported
	for _, rows := range []map[string]explained{explainedLoads(), explainedUnloads(), explainedRequests(), ongoing(), honest()} {
		for _, e := range rows {
			tested[e.code] = true
		}
	}
	for _, a := range attempts() {
		tested[a.code] = true
	}
	for _, code := range listed() {
		if !tested[code] {
			t.Errorf("no row for %s", code)
		}
	}
}
