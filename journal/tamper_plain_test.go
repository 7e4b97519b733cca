//go:build !race

package journal

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// Every change of a number of every record is found, and every record is named, also
// where all of them were changed alike.
func TestChangedNumbers(t *testing.T) {
	for _, kind := range append(sampleKinds(), "version 1") {
		path, anchor := sample(t, rand.New(rand.NewPCG(1, 0)), kind)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, set := range numberChanges() {
			if kind == "version 1" && (strings.HasPrefix(set, "class") || strings.HasPrefix(set, "form")) {
				continue // it has no such columns
			}
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			changed := changeAll(t, path, set)
			if len(changed) == 0 && set != "class = 0" {
				t.Errorf("%s: %s changes nothing", kind, set)
			}
			if !found(t, path, anchor, changed, kind+": "+set) && len(changed) > 0 {
				t.Errorf("%s: %s is not found", kind, set)
			}
		}
	}
}

// A number that became a text or bytes is damage that Verify finds, in whatever table. It
// gave up once.
func TestNumbersOfAnotherType(t *testing.T) {
	path, anchor := sample(t, rand.New(rand.NewPCG(1, 0)), "thinned and cut")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const strict, loose = ") STRICT", ") /*sct*/" // as long
	schema := "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, '%s', '%s')"
	for _, column := range strings.Fields("record.time record.uid record.count record.class record.form head.seq span.lo span.hi first.seq first.time shared.refs cursor.seq") {
		for _, value := range []string{"'x'", "x'00'", "1.5", "''"} {
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			table, name, _ := strings.Cut(column, ".")
			for _, statement := range []string{
				"INSERT INTO cursor VALUES ('out', 5)", fmt.Sprintf(schema, strict, loose),
				fmt.Sprintf("UPDATE %s SET %s = %s", table, name, value), fmt.Sprintf(schema, loose, strict),
			} {
				if err := execute(path, statement); err != nil {
					t.Fatalf("%s: %v", statement, err)
				}
			}
			if !found(t, path, anchor, nil, column+" = "+value) {
				t.Errorf("%s = %s is not found", column, value)
			}
		}
	}
}
