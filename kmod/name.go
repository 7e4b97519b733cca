package kmod

import (
	"fmt"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/modname"
)

// MaxName is the longest name of a module, in bytes. The kernel's MODULE_NAME_LEN
// is 64 less the size of a long, with the final NUL: 56 on 64-bit kernels.
//
// The kernel does not refuse a longer name on every path: delete_module of many
// kernels cuts it, and would act on another module. So this package refuses it first.
const MaxName = 55

// maxAlias bounds what may be handed to modprobe: device aliases (`pci:…`, `dmi:…`)
// are far longer than names.
const maxAlias = 4095

// NormalName gives the kernel's spelling of a module's name: `-` becomes `_`, as in
// /proc/modules and /sys/module. It errs with [ErrBadName] on what cannot be a name.
func NormalName(name string) (string, error) {
	if err := checkText(name); err != nil {
		return "", err
	}
	if len(name) > MaxName {
		return "", fmt.Errorf("%w: %d bytes long, at most %d", ErrBadName, len(name), MaxName)
	}
	if strings.ContainsRune(name, '/') {
		return "", fmt.Errorf("%w: it has a slash; give the name, not a file", ErrBadName)
	}
	return modname.Normal(name), nil
}

// CheckLookup checks what modprobe is to look up: a module's name or an alias, and nothing
// that it could take for an option or a file. It errs with [ErrBadName].
func CheckLookup(name string) error { return checkLookup(name) }

func checkLookup(name string) error {
	if strings.ContainsRune(name, ':') { // only aliases of devices have one
		if len(name) > maxAlias {
			return fmt.Errorf("%w: %d bytes long", ErrBadName, len(name))
		}
		return checkText(name)
	}
	_, err := NormalName(name)
	return err
}

func checkText(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", ErrBadName)
	case name == "." || name == "..":
		return fmt.Errorf("%w: it is a directory", ErrBadName)
	case strings.HasPrefix(name, "-"):
		return fmt.Errorf("%w: it starts with a dash", ErrBadName)
	case strings.HasPrefix(name, "/"), strings.HasPrefix(name, "./"), strings.HasPrefix(name, "../"):
		// Newer modprobes take that for a file.
		return fmt.Errorf("%w: it has a slash; give the name, not a file", ErrBadName)
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c == 0x7f {
			return fmt.Errorf("%w: it has a blank or control character", ErrBadName)
		}
	}
	return nil
}

// IsFile tells whether Load and Plan take target for a file: it has a slash, or ends
// as module files do (.ko, .ko.gz, .ko.xz, .ko.zst).
func IsFile(target string) bool {
	_, ok := modname.Stem(target)
	return ok || strings.ContainsRune(target, '/')
}

// NameOfFile gives the name that a module in such a file has unless the file says another:
// "/x/nf-tables.ko.xz" holds nf_tables, and "a.b.ko" holds a.b. [Inspect] tells what a file
// says.
func NameOfFile(path string) string {
	name, _ := modname.OfFile(path)
	return name
}
