package cause

import (
	"regexp"
	"strings"
)

var (
	optionalPart = regexp.MustCompile(`\[([^\[\]]*)\]`)
	placeholder  = regexp.MustCompile(`\{(\w+)\}`)
)

// sentence fills names into a template. A part in brackets that names something
// unknown is left out; elsewhere the unknown is said to be. What is known to be empty
// is known. Names are put in as they are, whatever brackets and braces they have.
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
	text = placeholder.ReplaceAllStringFunc(text, func(key string) string {
		if value, known := names[key[1:len(key)-1]]; known {
			return value
		}
		return "(unknown)"
	})
	return strings.Join(strings.Fields(text), " ")
}
