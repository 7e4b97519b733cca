package filter

import (
	"fmt"
	"path"
	"strings"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/modname"
	"github.com/kmodtrace/kmodtrace/kmod"
)

// Modules keeps what matches any glob; a glob that matches nothing is an error.
func Modules(modules []kmod.Module, globs []string) ([]kmod.Module, error) {
	if len(globs) == 0 {
		return modules, nil
	}
	keep := make([]bool, len(modules))
	for _, glob := range globs {
		pattern := modname.Normal(glob)
		if strings.Contains(glob, "[") {
			pattern = glob // in a class a dash is a range
		}
		matched := false
		for i, module := range modules {
			ok, err := path.Match(pattern, module.Name)
			if err != nil {
				return nil, cli.Usagef("%s: not a glob: %w", cells.Printable(glob), err)
			}
			keep[i] = keep[i] || ok
			matched = matched || ok
		}
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, cli.Usagef("%s: not a glob: %w", cells.Printable(glob), err)
		}
		if !matched {
			return nil, fmt.Errorf("no loaded module matches %s", cells.Short(glob))
		}
	}
	selected := []kmod.Module{}
	for i, module := range modules {
		if keep[i] {
			selected = append(selected, module)
		}
	}
	return selected, nil
}
