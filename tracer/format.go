package tracer

import (
	"fmt"
	"strconv"
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
	flags := leading(&s, "0123456789-+# ")
	precision := -1
	if rest, found := strings.CutPrefix(s, "."); found {
		s = rest
		digits := leading(&s, "0123456789")
		precision = 0
		if n, err := strconv.Atoi(digits); err == nil {
			precision = n
		} else if rest, found := strings.CutPrefix(s, "*"); found {
			s = rest
			if a, ok := next(); ok {
				precision = max(int(int32(a.number)), 0)
			}
		}
	}
	size := leading(&s, "lhz")
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
	case !ok || len(flags) > maxFlags || strings.ContainsAny(flags, "+# "):
	case verb == 's' && precision >= 0:
		return fmt.Sprintf("%"+flags+"s", a.text[:min(precision, len(a.text))])
	case verb == 's':
		return fmt.Sprintf("%"+flags+"s", a.text)
	case precision >= 0:
	case verb == 'd' || verb == 'i':
		return fmt.Sprintf("%"+flags+"d", signed(a.number, size))
	case verb == 'u':
		return fmt.Sprintf("%"+flags+"d", unsigned(a.number, size))
	case verb == 'x' || verb == 'X':
		return fmt.Sprintf("%"+flags+string(verb), unsigned(a.number, size))
	}
	return "…"
}

// leading cuts off what s begins with of some characters.
func leading(s *string, of string) string {
	rest := strings.TrimLeft(*s, of)
	cut := (*s)[:len(*s)-len(rest)]
	*s = rest
	return cut
}

// unsigned takes as much of a number as its size says: a register has more.
func unsigned(n uint64, size string) uint64 {
	switch size {
	case "":
		return uint64(uint32(n))
	case "h":
		return uint64(uint16(n))
	case "hh":
		return uint64(uint8(n))
	}
	return n
}

func signed(n uint64, size string) int64 {
	switch size {
	case "":
		return int64(int32(n))
	case "h":
		return int64(int16(n))
	case "hh":
		return int64(int8(n))
	}
	return int64(n)
}
