package kmod

import (
	"fmt"
	"strings"
)

// Params are a module's parameters in the order given: `name=value`, or a `name`
// alone for a switch. Bytes pass through as they are, UTF-8 or not.
type Params []string

// ParseParams splits a parameter string as the kernel's parse_args does: blanks
// separate, except between double quotes, and a `"` that starts a value or a whole
// parameter ends with it and is dropped. The kernel knows no escape for a `"`.
//
// A lone `--` ends the kernel's reading; it and what follows are refused here, for
// the kernel would ignore them silently.
func ParseParams(s string) (Params, error) {
	var params Params
	for s = skipBlanks(s); s != ""; s = skipBlanks(s) {
		var word string
		word, s = cutParam(s)
		param, err := unquote(word)
		if err != nil {
			return nil, err
		}
		params = append(params, param)
	}
	return params, params.check()
}

// String joins the parameters into what the kernel takes, with the double quotes it
// needs. Parameters that [Params.Quote] refuses come out as they are.
func (p Params) String() string {
	s, err := p.Quote()
	if err != nil {
		return strings.Join(p, " ")
	}
	return s
}

// Quote joins the parameters into the string that finit_module takes. A value with
// blanks is put between double quotes. It errs with [ErrBadParams] on what the kernel
// cannot be told: a NUL, a value with both a blank and a `"`, a name with a blank.
func (p Params) Quote() (string, error) {
	if err := p.check(); err != nil {
		return "", err
	}
	words := make([]string, len(p))
	for i, param := range p {
		word, err := quote(param)
		if err != nil {
			return "", err
		}
		words[i] = word
	}
	return strings.Join(words, " "), nil
}

func (p Params) check() error {
	for _, param := range p {
		switch {
		case param == "":
			return fmt.Errorf("%w: an empty one", ErrBadParams)
		case param == "--":
			return fmt.Errorf("%w: the kernel ignores -- and all that follows it", ErrBadParams)
		case strings.HasPrefix(param, "="):
			return fmt.Errorf("%w: %s has no name", ErrBadParams, shorten(param))
		case strings.IndexByte(param, 0) >= 0:
			return fmt.Errorf("%w: %s has a NUL", ErrBadParams, shorten(param))
		}
	}
	return nil
}

// isBlank is the kernel's isspace, which is of Latin-1: 0xa0 (a no-break space, and a
// byte inside many UTF-8 letters) is a blank too.
func isBlank(c byte) bool {
	return c == ' ' || '\t' <= c && c <= '\r' || c == 0xa0
}

func hasBlank(s string) bool {
	for i := range len(s) {
		if isBlank(s[i]) {
			return true
		}
	}
	return false
}

func skipBlanks(s string) string {
	for s != "" && isBlank(s[0]) {
		s = s[1:]
	}
	return s
}

// cutParam cuts the first parameter, quotes included.
func cutParam(s string) (word, rest string) {
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case isBlank(s[i]) && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// unquote drops the quotes the kernel drops: around the whole, or around the value.
func unquote(word string) (string, error) {
	if strings.Count(word, `"`)%2 != 0 {
		return "", fmt.Errorf("%w: %s has a quote that does not end", ErrBadParams, shorten(word))
	}
	if len(word) >= 2 && word[0] == '"' {
		return strings.TrimSuffix(word[1:], `"`), nil
	}
	name, value, ok := strings.Cut(word, "=")
	if ok && len(value) >= 2 && value[0] == '"' {
		value = strings.TrimSuffix(value[1:], `"`)
		return name + "=" + value, nil
	}
	return word, nil
}

func quote(param string) (string, error) {
	name, value, hasValue := strings.Cut(param, "=")
	if hasBlank(name) || strings.Contains(name, `"`) {
		return "", fmt.Errorf("%w: %s has a blank or a quote in its name", ErrBadParams, shorten(param))
	}
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' && strings.Count(value, `"`) == 2 {
		return param, nil // quoted already, as insmod's users must; the kernel drops the quotes
	}
	switch {
	case !hasValue:
		return param, nil
	case strings.Contains(value, `"`) && (hasBlank(value) || value[0] == '"' || strings.Count(value, `"`)%2 != 0):
		return "", fmt.Errorf("%w: the kernel cannot be given both quotes and blanks in %s", ErrBadParams, shorten(param))
	case hasBlank(value):
		return name + `="` + value + `"`, nil
	}
	return param, nil
}
