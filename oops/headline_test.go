package oops

import (
	"regexp/syntax"
	"slices"
	"strings"
	"testing"
)

// TestHeadlinesBegin: no line that an expression matches is told apart before the expression is asked.
func TestHeadlinesBegin(t *testing.T) {
	for i := range headlines {
		h := &headlines[i]
		re, err := syntax.Parse(h.text.String(), syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		starts := startsOf(re.Simplify())
		if len(starts) == 0 {
			t.Errorf("%s begins with nothing", h.text)
		}
		for _, s := range starts {
			if !slices.ContainsFunc(h.begins, func(text string) bool { return strings.HasPrefix(s.text, text) }) {
				t.Errorf("%s: a line may begin with %q, and is taken for one that begins with none of %q", h.text, s.text, h.begins)
			}
		}
		if !strings.Contains(h.text.String(), h.has) {
			t.Errorf("%s has no %q", h.text, h.has)
		}
	}
	for text, want := range map[string]bool{
		"x: page allocation failure: order:3, mode": true, "x: vmalloc: allocation failure: 4096": true, "x: vmalloc error: size 4096": true,
		"sh invoked oom-killer: gfp": true, "Out of memory: Killed process 3 (x)": true, "hello: Hello, Bob!": false, "a page allocation fails": false,
	} {
		if h, _ := headOf(text); (h != nil) != want {
			t.Errorf("%q begins a report: %t", text, h != nil)
		}
	}
}

// start is a literal text with which what an expression matches may begin; whole says that it may be all.
type start struct {
	text  string
	whole bool
}

func startsOf(re *syntax.Regexp) []start {
	switch re.Op {
	case syntax.OpLiteral:
		return []start{{string(re.Rune), true}}
	case syntax.OpEmptyMatch, syntax.OpBeginText, syntax.OpEndText:
		return []start{{"", true}}
	case syntax.OpCapture:
		return startsOf(re.Sub[0])
	case syntax.OpQuest:
		return append(startsOf(re.Sub[0]), start{"", true})
	case syntax.OpAlternate:
		var all []start
		for _, sub := range re.Sub {
			all = append(all, startsOf(sub)...)
		}
		return all
	case syntax.OpConcat:
		all := []start{{"", true}}
		for _, sub := range re.Sub {
			var longer []start
			for _, s := range all {
				if !s.whole {
					longer = append(longer, s)
					continue
				}
				for _, more := range startsOf(sub) {
					longer = append(longer, start{s.text + more.text, more.whole})
				}
			}
			all = longer
		}
		return all
	}
	return []start{{"", false}}
}
