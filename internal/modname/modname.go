// Package modname owns the rules by which modules get their names. Package kmod exports them; they are
// below it because package tracer needs them too, and neither imports the other.
package modname

import (
	"path"
	"strings"
)

// Normal gives the kernel's spelling of a module's name: `-` becomes `_`, as kbuild and
// modprobe do it.
func Normal(name string) string { return strings.ReplaceAll(name, "-", "_") }

// OfFile gives the name that a module in such a file has unless the file says another:
// "/x/nf-tables.ko.xz" holds nf_tables. Kbuild takes all that is before the ending, so that
// "a.b.ko" holds a.b, though depmod and modprobe call it a. It is false for a file whose name
// does not end as those of modules do; the name is the whole base then.
func OfFile(file string) (name string, ok bool) {
	base := path.Base(file)
	stem, ok := Stem(base)
	return Normal(stem), ok
}

// Stem cuts the ending of a module file's name: .ko, .ko.gz, .ko.xz, .ko.zst. It is false
// where there is none.
func Stem(file string) (stem string, ok bool) {
	for _, end := range []string{".ko", ".ko.gz", ".ko.xz", ".ko.zst"} {
		if stem, ok := strings.CutSuffix(file, end); ok {
			return stem, true
		}
	}
	return file, false
}
