package kbuild

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MissingError is what the machine lacks for building modules.
type MissingError struct {
	Kernel       string  // the release that was to be built for
	things       []thing // at least one
	Distribution Distribution
}

// thing is a part that building needs.
type thing struct {
	name   string // for people: "make", "gcc 14", "the headers of kernel 6.12"
	of     string // the headers' kernel, or the compiler's version
	family string // gcc or clang; empty for anything but a compiler
	kind   thingKind
}

type thingKind uint8

const (
	programThing thingKind = iota
	headersThing
	libraryThing
)

func (e *MissingError) add(t thing) { e.things = append(e.things, t) }

// take adds what an error says to be missing, and tells whether that was all it said.
func (e *MissingError) take(err error) bool {
	var l *lacks
	var more *MissingError
	switch {
	case err == nil:
	case errors.As(err, &l):
		e.add(thing{name: "the headers of kernel " + l.of, of: l.of, kind: l.thing})
	case errors.As(err, &more):
		e.things = append(e.things, more.things...)
	default:
		return false
	}
	return true
}

// lacks is one thing that is not there.
type lacks struct {
	thing thingKind
	of    string
}

func (l *lacks) Error() string { return "no headers of kernel " + l.of }

func (e *MissingError) Error() string {
	names := make([]string, len(e.things))
	for i, t := range e.things {
		names[i] = t.name
	}
	list := names[0]
	if n := len(names); n > 1 {
		list = strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return fmt.Sprintf("building modules for kernel %s needs %s", e.Kernel, list)
}

// Hint says how to get what is missing, in one line: a command to type where this
// distribution has a package for each.
func (e *MissingError) Hint() string {
	var packages []string
	var elsewhere []string
	for _, t := range e.things {
		if name, ok := e.Distribution.packageOf(t); ok && !slices.Contains(packages, name) {
			packages = append(packages, name)
		} else if !ok {
			elsewhere = append(elsewhere, e.Distribution.without(t))
		}
	}
	var parts []string
	if len(packages) > 0 {
		parts = append(parts, e.Distribution.install()+" "+strings.Join(packages, " "))
	}
	return strings.Join(append(parts, elsewhere...), "; ")
}
