package kbuild

import (
	"fmt"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/lazyregexp"
	"github.com/kmodtrace/kmodtrace/internal/modname"
	"github.com/kmodtrace/kmodtrace/kmod"
)

// Rules gives the Kbuild file that makes a module of each C file.
func Rules(files []string) string {
	var objects strings.Builder
	for _, name := range files {
		objects.WriteString(" " + strings.TrimSuffix(name, ".c") + ".o")
	}
	return "obj-m :=" + objects.String() + "\n"
}

// sourceName is what can name a module: make splits and expands anything else, and
// programs take a dash in front for an option.
var sourceName = lazyregexp.New(`^[A-Za-z0-9_][A-Za-z0-9_-]*\.c$`)

// CheckSourceName tells whether a C file can be a module by itself, which it gives its name
// to.
func CheckSourceName(name string) error {
	base, isC := strings.CutSuffix(name, ".c")
	switch {
	case !isC:
		return fmt.Errorf("%w: %.80q: must be a directory, or C files such as hello.c", ErrBadTarget, name)
	case !sourceName.MatchString(name):
		return fmt.Errorf("%w: %.80q cannot name a module: use letters, digits, - and _", ErrBadTarget, name)
	case base == "vmlinux":
		return fmt.Errorf("%w: vmlinux is the kernel itself to kbuild, not a module", ErrBadTarget)
	case len(base) > kmod.MaxName:
		return fmt.Errorf("%w: %.80q is too long for a module's name: %d characters are allowed", ErrBadTarget, name, kmod.MaxName)
	}
	return nil
}

// checkModuleNames refuses two files that would be one module to the kernel, to which - and _
// are the same in a name.
func checkModuleNames(files []string) error {
	taken := map[string]string{}
	for _, name := range files {
		module := modname.Normal(strings.TrimSuffix(name, ".c"))
		if other := taken[module]; other != "" {
			return fmt.Errorf("%w: %s and %s would both be module %s: build one of them, or rename it", ErrBadTarget, other, name, module)
		}
		taken[module] = name
	}
	return nil
}

// variable is an assignment for make's command line.
var variable = lazyregexp.New(`^[A-Za-z_][A-Za-z0-9_.-]*[+:?]?=`)

// ours are the variables by which kbuild is told where to work.
var ours = lazyregexp.New(`^(M|MO|O|KBUILD_OUTPUT|KBUILD_EXTMOD|KBUILD_EXTMOD_OUTPUT|KBUILD_EXTRA_SYMBOLS)[+:?]?=`)

func checkVariables(variables []string) error {
	for _, v := range variables {
		switch {
		case !variable.MatchString(v):
			return fmt.Errorf("%w: %.80q is not a variable for make: must be NAME=VALUE", ErrBadTarget, v)
		case ours.MatchString(v):
			name, _, _ := strings.Cut(v, "=")
			return fmt.Errorf("%w: %s is set by the build itself", ErrBadTarget, name)
		}
	}
	return nil
}

// valueOf gives the last value that is assigned to a name.
func valueOf(variables []string, name string) string {
	value := ""
	for _, v := range variables {
		if n, val, _ := strings.Cut(v, "="); strings.TrimRight(n, "+:?") == name {
			value = val
		}
	}
	return value
}
