// Package lazyregexp compiles regular expressions of package scope when they are first used.
//
// There are some hundred of them, and a command uses few: compiled when the program starts, they
// were a third of what its start computes. The standard library and the go command have the same
// for themselves, and do not export it.
package lazyregexp

import (
	"os"
	"regexp"
	"strings"
	"sync"
)

// Regexp is a [regexp.Regexp] that is compiled by the first method that is called.
type Regexp struct {
	compiled func() *regexp.Regexp
}

// New takes an expression. One that does not compile panics: at its first use, and in tests at
// once.
func New(expression string) *Regexp {
	r := &Regexp{compiled: sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })}
	if isTest {
		r.compiled()
	}
	return r
}

var isTest = len(os.Args) > 0 && strings.HasSuffix(os.Args[0], ".test")

// String, and the methods below, are those of [regexp.Regexp].
func (r *Regexp) String() string { return r.compiled().String() }

func (r *Regexp) Match(b []byte) bool       { return r.compiled().Match(b) }
func (r *Regexp) MatchString(s string) bool { return r.compiled().MatchString(s) }

func (r *Regexp) FindString(s string) string           { return r.compiled().FindString(s) }
func (r *Regexp) FindStringIndex(s string) []int       { return r.compiled().FindStringIndex(s) }
func (r *Regexp) FindStringSubmatch(s string) []string { return r.compiled().FindStringSubmatch(s) }

func (r *Regexp) FindStringSubmatchIndex(s string) []int {
	return r.compiled().FindStringSubmatchIndex(s)
}

func (r *Regexp) FindAllSubmatch(b []byte, n int) [][][]byte {
	return r.compiled().FindAllSubmatch(b, n)
}

func (r *Regexp) FindAllStringSubmatch(s string, n int) [][]string {
	return r.compiled().FindAllStringSubmatch(s, n)
}

func (r *Regexp) ExpandString(to []byte, template, s string, match []int) []byte {
	return r.compiled().ExpandString(to, template, s, match)
}

func (r *Regexp) ReplaceAll(b, with []byte) []byte { return r.compiled().ReplaceAll(b, with) }

func (r *Regexp) ReplaceAllString(s, with string) string {
	return r.compiled().ReplaceAllString(s, with)
}

func (r *Regexp) ReplaceAllStringFunc(s string, with func(string) string) string {
	return r.compiled().ReplaceAllStringFunc(s, with)
}

func (r *Regexp) SubexpNames() []string       { return r.compiled().SubexpNames() }
func (r *Regexp) SubexpIndex(name string) int { return r.compiled().SubexpIndex(name) }
