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
	for _, param := range c.opts.Params {
		name, value, hasValue := strings.Cut(param, "=")
		name = strings.ReplaceAll(name, "-", "_")
		i := slices.IndexFunc(c.file.Parameters, func(p kmod.Parameter) bool { return strings.ReplaceAll(p.Name, "-", "_") == name })
		c.names["parameter"] = name
		switch {
		case i < 0 && !takenByKernel(name):
			c.warnings = append(c.warnings, *c.refuse(ParameterUnknown, "{module} has no parameter {parameter}: it is ignored", "its file lists none of that name"))
		case i >= 0 && !acceptable(c.file.Parameters[i].Type, value, hasValue):
			c.names["value"] = value
			c.names["type"] = c.file.Parameters[i].Type
			return c.refuse(ParameterInvalid, "{module} does not take \"{value}\" for its parameter {parameter} ({type})", "its file says that {parameter} is {type}")
		}
	}
	return nil
}

// takenByKernel: parameters that the kernel takes for every module.
func takenByKernel(name string) bool {
	return name == "dyndbg" || name == "async_probe" || strings.HasSuffix(name, ".dyndbg")
}

// maxString is the kernel's bound of a charp.
const maxString = 1024

// acceptable judges as the kernel's param_set_* functions do. What the type does not
// tell is left to the module.
func acceptable(kind, value string, hasValue bool) bool {
	value = strings.TrimSuffix(value, "\n")
	if element, isArray := strings.CutPrefix(kind, "array of "); isArray {
		if !hasValue {
			return false
		}
		for part := range strings.SplitSeq(value, ",") {
			if !acceptable(element, part, true) {
				return false
			}
		}
		return true
	}
	switch kind {
	case "bool", "bint":
		return !hasValue || isBool(value)
	case "invbool":
		return !hasValue || isBool(value)
	case "charp":
		return hasValue && len(value) <= maxString
	}
	bits, signed, isNumber := numberType(kind)
	if !isNumber {
		return true
	}
	return hasValue && isNumeral(value, kind == "hexint", bits, signed)
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
func isNumeral(value string, hexOnly bool, bits int, signed bool) bool {
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
	case hexOnly:
		base = 16
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
