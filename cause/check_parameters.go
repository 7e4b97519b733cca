package cause

import (
	"slices"
	"strconv"
	"strings"

	"github.com/kmodtrace/kmodtrace/kmod"
)

// parameters compares values with the types that the module's file states. A
// module's own functions may be stricter.
func (c *checkup) parameters() *Cause {
	for _, param := range asParsed(c.opts.Params) {
		name, value, hasValue := strings.Cut(param, "=")
		name = strings.ReplaceAll(name, "-", "_")
		i := slices.IndexFunc(c.file.Parameters, func(p kmod.Parameter) bool { return strings.ReplaceAll(p.Name, "-", "_") == name })
		c.names["parameter"] = name
		switch {
		case i < 0 && !takenByKernel(name):
			c.set(name, value)
			c.warnings = append(c.warnings, *c.refuse(ParameterUnknown, sayNoParameter, "its file lists none of that name", "[{config}: {text}]"))
		case i >= 0 && c.newWord(c.file.Parameters[i].Type, value):
			c.leave("whether this kernel takes %q for %s, as later ones do", value, name)
		case i >= 0 && !acceptable(c.file.Parameters[i].Type, value, hasValue, c.file.WordSize):
			c.names["value"] = value
			c.names["type"] = c.file.Parameters[i].Type
			c.set(name, value)
			return c.refuse(ParameterInvalid, sayParameterInvalid, "its file says that {parameter} is {type}", "[{config}: {text}]")
		}
	}
	return nil
}

// set names the line of modprobe's configuration that sets a parameter to a value.
func (c *checkup) set(parameter, value string) {
	delete(c.names, "config")
	delete(c.names, "text")
	if line := lineSetting(c.opts.Options, parameter, value); line != nil {
		c.names["config"], c.names["text"] = line.Place(), line.Text
	}
}

// asParsed gives parameters as the kernel will read them: without quotes.
func asParsed(params kmod.Params) kmod.Params {
	text, err := params.Quote()
	if err != nil {
		return params
	}
	parsed, err := kmod.ParseParams(text)
	if err != nil {
		return params
	}
	return parsed
}

// takenByKernel: parameters that the kernel takes for every module.
func takenByKernel(name string) bool {
	return name == "dyndbg" || name == "async_probe" || strings.HasSuffix(name, ".dyndbg")
}

// maxString is the kernel's bound of a charp.
const maxString = 1024

// acceptable judges as the kernel's param_set_* functions do. What the type does not
// tell is left to the module.
func acceptable(kind, value string, hasValue bool, word int) bool {
	value = strings.TrimSuffix(value, "\n")
	if element, isArray := strings.CutPrefix(kind, "array of "); isArray {
		if !hasValue {
			return false
		}
		for part := range strings.SplitSeq(value, ",") {
			if !acceptable(element, part, true, word) {
				return false
			}
		}
		return true
	}
	switch kind {
	case "bool", "bint":
		return !hasValue || isBool(value)
	case "invbool": // which, unlike bool, cannot stand alone
		return hasValue && isBool(value)
	case "string":
		return hasValue
	case "charp":
		return hasValue && len(value) <= maxString
	}
	bits, signed, isNumber := numberType(kind)
	if !isNumber {
		return true
	}
	if kind == "long" || kind == "ulong" {
		bits = word
	}
	return hasValue && isNumeral(value, bits, signed)
}

// newWord tells a word for a bool that not every kernel takes: true and false came
// with 5.18, enabled and disabled much later.
func (c *checkup) newWord(kind, value string) bool {
	element := strings.TrimPrefix(kind, "array of ")
	if element != "bool" && element != "bint" && element != "invbool" {
		return false
	}
	major, _, _ := strings.Cut(c.kernel.Release(), ".")
	n, err := strconv.Atoi(major)
	old := err != nil || n < 6
	for word := range strings.SplitSeq(value, ",") {
		if word != "" && (strings.ContainsRune("eEdD", rune(word[0])) || old && strings.ContainsRune("tTfF", rune(word[0]))) {
			return true
		}
	}
	return false
}

// isBool is the kernel's kstrtobool.
func isBool(value string) bool {
	if value == "" {
		return false
	}
	switch value[0] {
	case 'y', 'Y', 't', 'T', '1', 'n', 'N', 'f', 'F', '0':
		return true
	case 'o', 'O':
		return len(value) > 1 && strings.ContainsRune("nNfF", rune(value[1]))
	}
	return false
}

func numberType(kind string) (bits int, signed, ok bool) {
	types := map[string]struct {
		bits   int
		signed bool
	}{
		"byte": {8, false}, "short": {16, true}, "ushort": {16, false}, "int": {32, true}, "uint": {32, false},
		"long": {64, true}, "ulong": {64, false}, "ullong": {64, false}, "hexint": {32, false},
	}
	t, ok := types[kind]
	return t.bits, t.signed, ok
}

// isNumeral is the kernel's kstrto… with base 0: hexadecimal after 0x, octal after 0.
func isNumeral(value string, bits int, signed bool) bool {
	digits := strings.TrimPrefix(value, "+")
	negative := false
	if signed && digits == value {
		digits, negative = strings.CutPrefix(value, "-")
	}
	base := 10
	lower := strings.ToLower(digits)
	switch {
	case strings.HasPrefix(lower, "0x"):
		base, digits = 16, digits[2:]
	case len(digits) > 1 && digits[0] == '0':
		base, digits = 8, digits[1:]
	}
	if strings.HasPrefix(digits, "+") || strings.HasPrefix(digits, "-") || strings.Contains(digits, "_") {
		return false
	}
	if !signed {
		_, err := strconv.ParseUint(digits, base, bits)
		return err == nil
	}
	if negative {
		digits = "-" + digits
	}
	_, err := strconv.ParseInt(digits, base, bits)
	return err == nil
}
