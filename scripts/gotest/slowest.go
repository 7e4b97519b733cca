package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// slowest keeps how long tests took that have no subtests, by package: whoever wants a run
// to be shorter begins there.
type slowest map[string][]timed

type timed struct {
	test    string
	seconds float64
}

const (
	slow     = 20 // seconds that are worth a word
	mostSlow = 12 // tests of a package
)

func (s slowest) add(e event) {
	if e.Elapsed >= slow {
		s[e.Package] = append(s[e.Package], timed{e.Test, e.Elapsed})
	}
}

// text lists those of a package in one line, or none.
func (s slowest) text(pkg string) string {
	all := s[pkg]
	if len(all) == 0 {
		return ""
	}
	slices.SortStableFunc(all, func(a, b timed) int { return cmp.Compare(b.seconds, a.seconds) })
	var words []string
	for _, t := range all[:min(len(all), mostSlow)] {
		words = append(words, fmt.Sprintf("%s %.0f s", t.test, t.seconds))
	}
	return "      slowest: " + strings.Join(words, ", ") + "\n"
}
