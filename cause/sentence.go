package cause

import (
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/lazyregexp"
)

var (
	optionalPart = lazyregexp.New(`\[([^\[\]]*)\]`)
	placeholder  = lazyregexp.New(`\{(\w+)(?::(\w+))?\}`)
)

// sentence fills names into a template. A part in brackets that names something
// unknown is left out; elsewhere the unknown is said to be. What is known to be empty
// is known. Names are put in as they are, whatever brackets and braces they have. In
// {name:verb} stands the verb alone, in the form that fits the number of what is named.
func sentence(template string, names map[string]string) string {
	text := optionalPart.ReplaceAllStringFunc(template, func(part string) string {
		part = part[1 : len(part)-1]
		for _, key := range placeholder.FindAllStringSubmatch(part, -1) {
			if _, known := names[key[1]]; !known {
				return ""
			}
		}
		return part
	})
	text = placeholder.ReplaceAllStringFunc(text, func(part string) string {
		parts := placeholder.FindStringSubmatch(part)
		value, known := names[parts[1]]
		switch verb := parts[2]; {
		case verb != "":
			return agreeing(verb, value)
		case known:
			return value
		}
		return "(unknown)"
	})
	return strings.Join(strings.Fields(text), " ")
}

// agreeing gives the form of a verb for what is named: a list, or a number of things.
func agreeing(verb, value string) string {
	count, _, counted := strings.Cut(value, " ")
	if _, err := strconv.Atoi(count); counted && err == nil && count != "1" || strings.Contains(value, ",") {
		return verb
	}
	return verb + "s"
}
