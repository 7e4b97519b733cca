package tracer

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// meaning says in words what the kernel asks for by an alias: "filesystem xfs" for
// fs-xfs, "module bridge" for a plain name. It is empty for what it has no words for,
// and for text that no alias has: blanks, control characters, broken UTF-8. Programs
// choose much of that text, so that it says what was asked for, not what there is.
func meaning(alias string) string {
	if !plain(alias) {
		return ""
	}
	for _, f := range aliasFamilies {
		if found, ok := f.match(alias); ok {
			return f.say(found)
		}
	}
	if bus, rest, ok := strings.Cut(alias, ":"); ok {
		if words := aliasBuses[bus]; words != "" && rest != "" {
			return "driver for " + words + " " + rest
		}
		return ""
	}
	if strings.Trim(alias, moduleNameCharacters) == "" && alias != "" {
		return "module " + alias
	}
	return ""
}

const moduleNameCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

// plain tells text in which nothing is blank, invisible or broken.
func plain(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r == ' ' || r == utf8.RuneError || !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// aliasFamily is one form of alias and what it means. Both have fields in braces.
//
// In the alias {n} and {m} are decimal numbers, as are the fields that
// [aliasNumbers] names; {x4}, {y4}, {x8} and {y8} are so many hexadecimal digits, {x}
// any number of them; {any} is text, and may be empty; other fields are text and not
// empty. Text ends where what follows it in the form first comes, but {name} at the
// end of the alias, if that is what follows.
//
// In the words {field} is the field, a number with its name: "38 (AF_ALG)".
// {field#} is the number alone, {field?} the name, if any, with a blank before it.
type aliasFamily struct{ form, words string }

// match gives the fields of an alias that has the family's form.
func (f aliasFamily) match(alias string) (map[string]string, bool) {
	fields := map[string]string{}
	form := f.form
	for {
		literal, rest, more := strings.Cut(form, "{")
		var ok bool
		if alias, ok = strings.CutPrefix(alias, literal); !ok {
			return nil, false
		}
		if !more {
			return fields, alias == ""
		}
		field, rest, _ := strings.Cut(rest, "}")
		next, _, _ := strings.Cut(rest, "{")
		n, ok := fieldLength(field, alias, next)
		if !ok {
			return nil, false
		}
		fields[field], alias, form = alias[:n], alias[n:], rest
	}
}

// maxDigits are as many as 32 bits need.
const maxDigits = 10

// fieldLength tells how much of the text a field is, with next after it.
func fieldLength(field, s, next string) (int, bool) {
	switch field {
	case "x4", "y4":
		return 4, hexDigits(s) >= 4
	case "x8", "y8":
		return 8, hexDigits(s) >= 8
	case "x":
		n := hexDigits(s)
		return n, n > 0
	}
	if _, ok := aliasNumbers[field]; ok {
		return numberLength(s)
	}
	n := len(s)
	switch {
	case next == "":
	case strings.HasSuffix(s, next) && field == "name":
		n -= len(next)
	default:
		n = strings.Index(s, next)
	}
	return n, n > 0 || n == 0 && field == "any"
}

// hexDigits counts those that the text begins with.
func hexDigits(s string) int {
	return len(s) - len(strings.TrimLeft(s, "0123456789abcdefABCDEF"))
}

// numberLength is the length of a number as the kernel's %d writes it.
func numberLength(s string) (int, bool) {
	unsigned := strings.TrimPrefix(s, "-")
	digits := unsigned[:len(unsigned)-len(strings.TrimLeft(unsigned, "0123456789"))]
	if digits == "" || len(digits) > maxDigits || digits[0] == '0' && (len(digits) > 1 || unsigned != s) {
		return 0, false
	}
	return len(s) - len(unsigned) + len(digits), true
}

// say fills the words of the family.
func (f aliasFamily) say(fields map[string]string) string {
	var b strings.Builder
	words := f.words
	for {
		before, rest, more := strings.Cut(words, "{")
		b.WriteString(before)
		if !more {
			return b.String()
		}
		field, rest, _ := strings.Cut(rest, "}")
		words = rest
		field, bare := strings.CutSuffix(field, "#")
		field, only := strings.CutSuffix(field, "?")
		text := fields[field]
		name := fieldName(field, text)
		switch {
		case only:
			text = ""
		case field == "x8" || field == "y8": // identifiers, of 16 bits but for few
			text = strings.ToLower(strings.TrimPrefix(text, "0000"))
		case field == "x4" || field == "y4":
			text = strings.ToLower(text)
		}
		b.WriteString(text)
		if name != "" && !bare {
			b.WriteString(" (" + name + ")")
		}
	}
}

// fieldName names the number of a field; empty for none that is known.
func fieldName(field, text string) string {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return ""
	}
	return aliasNumbers[field][n]
}
