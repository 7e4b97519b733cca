package tracer

import (
	"fmt"
	"strings"
)

// argument is one that request_module was given after its format: a number, or a
// pointer to text. Which of the two, the format says.
type argument struct {
	number uint64
	text   string
}

// formatted puts a module's name together as the kernel's vsnprintf would, for
// the conversions that callers of request_module use: %s with a precision, and
// numbers. What it cannot tell it writes as … .
func formatted(format string, arguments []argument) string {
	var b strings.Builder
	next := func() (argument, bool) {
		if len(arguments) == 0 {
			return argument{}, false
		}
		a := arguments[0]
		arguments = arguments[1:]
		return a, true
	}
	for {
		before, rest, found := strings.Cut(format, "%")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString(conversion(&rest, next))
		format = rest
	}
}

// maxFlags bounds flags and width of a conversion, and so what it becomes.
const maxFlags = 3

// conversion reads one conversion of the format, after its %, and gives its text.
func conversion(format *string, next func() (argument, bool)) string {
	s := *format
	flags := s[:len(s)-len(strings.TrimLeft(s, "0123456789-+# "))]
	s = s[len(flags):]
	precision := -1
	if rest, found := strings.CutPrefix(s, ".*"); found {
		if a, ok := next(); ok {
			precision = int(int32(a.number))
		}
		s = rest
	}
	s = strings.TrimLeft(s, "lhz")
	if s == "" {
		*format = ""
		return "…"
	}
	verb := s[0]
	*format = s[1:]
	if verb == '%' {
		return "%"
	}
	a, ok := next()
	switch {
	case !ok || len(flags) > maxFlags:
	case verb == 's' && precision >= 0:
		return a.text[:min(precision, len(a.text))]
	case verb == 's':
		return a.text
	case verb == 'd' || verb == 'i':
		return fmt.Sprintf("%"+flags+"d", int32(a.number))
	case verb == 'u':
		return fmt.Sprintf("%"+flags+"d", uint32(a.number))
	case verb == 'x' || verb == 'X':
		return fmt.Sprintf("%"+flags+string(verb), uint32(a.number))
	}
	return "…"
}
