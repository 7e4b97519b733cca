//go:build !race

package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/kmodtrace/kmodtrace/internal/cells"
)

func TestHistoryOfHostileContent(t *testing.T) {
	path, n := hostileJournal(t)
	questions := [][]string{
		{"history"}, {"history", "--json"}, {"history", "--csv"}, {"history", "--kind", "present"}, {"history", "--kind", "gap", "--reverse"},
		{"history", "--module", "*"}, {"history", "--module", "*", "--csv"}, {"history", "--user", "*"}, {"history", "--container", "any", "--json"},
		{"history", "--first-seen"}, {"history", "--first-seen", "files"}, {"history", "--first-seen", "contents"},
		{"history", "--first-seen", "contents", "--json"}, {"history", "--first-seen", "files", "--csv"},
		{"history", "--loaded-at", "2026-03-01 14:00"}, {"history", "--loaded-at", "2026-03-01 14:00", "--json"},
		{"history", "--loaded-at", "2026-03-01 14:00", "--csv"}, {"history", "--boot", "\x1b"}, {"history", "--boot", "-9"},
		{"audit", "verify"}, {"audit", "verify", "--json"}, {"audit", "anchor"},
	}
	for i := range n {
		questions = append(questions, []string{"history", "show", fmt.Sprint(i + 1)}, []string{"history", "show", fmt.Sprint(i + 1), "--json"})
	}
	for _, width := range []int{80, 200, 20} {
		t.Setenv("COLUMNS", fmt.Sprint(width))
		for _, q := range questions {
			out, errs, _ := ask(t, append(q, "--journal", path)...)
			steers := func(c rune) bool {
				return c != '\n' && c != '\r' && !unicode.IsPrint(c)
			}
			if strings.ContainsFunc(out+errs, steers) || strings.Contains(out, "\n2026-03-01  boot 99999999\n") {
				t.Errorf("%q steers the terminal, or has a forged line", q)
			}
			if slices.Contains(q, "--json") {
				for line := range strings.Lines(out) {
					if !json.Valid([]byte(line)) && !json.Valid([]byte(out)) {
						t.Errorf("%q: no JSON: %.200q", q, line)
					}
				}
			}
			if slices.Contains(q, "--csv") {
				checkCSV(t, q, out)
			}
			if q[0] != "history" || slices.Contains(q, "--json") || slices.Contains(q, "--csv") {
				continue
			}
			for line := range strings.Lines(out) {
				if c := cells.Count(strings.TrimSuffix(line, "\n")); c > width {
					t.Errorf("%q at %d columns: %d: %.300q", q, width, c, line)
				}
			}
		}
	}
}
