package main

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/kmodtrace/kmodtrace/internal/modname"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/spf13/cobra"
)

func newListCommand() *cobra.Command {
	var asJSON bool
	var loaded history.LoadedFlags
	cmd := &cobra.Command{
		Use:   "list [GLOB...]",
		Short: "List the modules that the kernel has in memory",
		Long: "List the modules that the kernel has in memory, the last loaded first: what lsmod shows, and\n" +
			"their state, taints, version and address (hidden, as kernel.kptr_restrict says, from users without privilege).\n" +
			"The state of a module that dropped a reference which it did not have says \"refcount negative\": an unload of it\n" +
			"would be a BUG in the kernel, and kmodtrace refuses it (kmodtrace explain refcount-negative).\n" +
			"Where the journal of kmodtrace serve can be read, also when each was loaded and who was behind it; a ? says\n" +
			"that not all was watched since, so that it may have been loaded again by somebody else.",
		Example: "  kmodtrace list\n  kmodtrace list 'nf_*' --json",
		RunE: func(cmd *cobra.Command, globs []string) error {
			modules, err := kmod.List(&kmod.ListOptions{Root: loaded.Root})
			if err != nil {
				return err
			}
			if modules, err = selectModules(modules, globs); err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			known := loaded.Modules(cmd.Context())
			if asJSON {
				return term.PrintJSON(out, history.ListedModules(modules, known))
			}
			table := moduleTable(modules, term.Width(out))
			if known != nil {
				addLoaded(table, modules, known, time.Now())
			}
			return term.PrintTo(out, table.Print)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON array (docs/schema/module.schema.json)")
	loaded.Register(cmd)
	return cmd
}

// selectModules keeps what matches any glob; a glob that matches nothing is an error.
func selectModules(modules []kmod.Module, globs []string) ([]kmod.Module, error) {
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

func moduleTable(modules []kmod.Module, width int) *term.Table {
	t := &term.Table{Width: width, Header: []string{"MODULE", "SIZE", "REFS", "STATE", "ADDRESS", "TAINTS", "VERSION", "USED BY"}, Right: map[int]bool{1: true, 2: true}}
	for _, m := range modules {
		refs, address := "-", "hidden"
		if m.Refs != nil {
			refs = strconv.Itoa(*m.Refs)
		}
		if m.Address != 0 {
			address = m.Address.String()
		}
		state := m.State.String()
		if m.RefsNegative {
			state += ", " + refcountNegative
		}
		users := m.Holders
		if m.Permanent {
			users = append(users[:len(users):len(users)], "[permanent]")
		}
		t.Rows = append(t.Rows, []string{
			m.Name, strconv.FormatUint(m.Size, 10), refs, state, address,
			cells.OrDash(taintWords(m.Taints)), cells.OrDash(m.Version), cells.OrDash(strings.Join(users, ",")),
		})
	}
	return t
}

// refcountNegative marks a module that no tool may unload.
const refcountNegative = "refcount negative"

func taintWords(taints []kmod.Taint) string {
	words := make([]string, len(taints))
	for i, taint := range taints {
		words[i] = taint.Word
	}
	return strings.Join(words, ",")
}

// addLoaded puts when, and by whom, after the state: what is on the right is cut first.
func addLoaded(t *term.Table, modules []kmod.Module, known map[string]*history.LoadedBy, now time.Time) {
	const after = 4
	t.Header = slices.Insert(t.Header, after, "LOADED", "BY")
	for i := range t.Rows {
		when, who := "-", "-"
		if by := known[modules[i].Name]; by != nil {
			when, who = by.When(now), by.Who()
		}
		t.Rows[i] = slices.Insert(t.Rows[i], after, when, who)
	}
}
