package main

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/modname"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/spf13/cobra"
)

func newListCommand() *cobra.Command {
	var asJSON bool
	var loaded loadedFlags
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
			modules, err := kmod.List(&kmod.ListOptions{Root: loaded.root})
			if err != nil {
				return err
			}
			if modules, err = selectModules(modules, globs); err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			known := loaded.modules(cmd.Context())
			if asJSON {
				return printJSON(out, listedModules(modules, known))
			}
			table := moduleTable(modules, terminalWidth(out))
			if known != nil {
				table.addLoaded(modules, known, time.Now())
			}
			return printTo(out, table.print)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON array (docs/schema/module.schema.json)")
	loaded.register(cmd)
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
				return nil, usageErrorf("%s: not a glob: %w", printable(glob), err)
			}
			keep[i] = keep[i] || ok
			matched = matched || ok
		}
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, usageErrorf("%s: not a glob: %w", printable(glob), err)
		}
		if !matched {
			return nil, fmt.Errorf("no loaded module matches %s", shortText(glob))
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

// shortText keeps what a user gave on one line of an error.
func shortText(s string) string {
	const most = 80
	if len(s) > most {
		return printable(s[:most]) + "..."
	}
	return printable(s)
}

func moduleTable(modules []kmod.Module, width int) *table {
	t := &table{width: width, header: []string{"MODULE", "SIZE", "REFS", "STATE", "ADDRESS", "TAINTS", "VERSION", "USED BY"}, right: map[int]bool{1: true, 2: true}}
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
		t.rows = append(t.rows, []string{
			m.Name, strconv.FormatUint(m.Size, 10), refs, state, address,
			orDash(taintWords(m.Taints)), orDash(m.Version), orDash(strings.Join(users, ",")),
		})
	}
	return t
}

// refcountNegative marks a module that no tool may unload.
const refcountNegative = "refcount negative"

// addLoaded puts when, and by whom, after the state: what is on the right is cut first.
func (t *table) addLoaded(modules []kmod.Module, known map[string]*loadedBy, now time.Time) {
	const after = 4
	t.header = slices.Insert(t.header, after, "LOADED", "BY")
	for i := range t.rows {
		when, who := "-", "-"
		if by := known[modules[i].Name]; by != nil {
			when, who = by.when(now), by.who()
		}
		t.rows[i] = slices.Insert(t.rows[i], after, when, who)
	}
}

func taintWords(taints []kmod.Taint) string {
	words := make([]string, len(taints))
	for i, taint := range taints {
		words[i] = taint.Word
	}
	return strings.Join(words, ",")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// table prints columns that fit a width. The last column is cut first.
type table struct {
	header []string
	right  map[int]bool // columns set to the right
	rows   [][]string
	width  int // 0: no bound
}

func (t *table) print(w io.Writer) error {
	widths := make([]int, len(t.header))
	for _, row := range append([][]string{t.header}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], columns(printable(cell)))
		}
	}
	for _, row := range append([][]string{t.header}, t.rows...) {
		if _, err := fmt.Fprintln(w, t.line(row, widths)); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) line(row []string, widths []int) string {
	cells := make([]string, len(row))
	for i, cell := range row {
		cell = printable(cell)
		blanks := strings.Repeat(" ", widths[i]-columns(cell))
		if t.right[i] {
			cells[i] = blanks + cell
		} else {
			cells[i] = cell + blanks
		}
	}
	line := strings.TrimRight(strings.Join(cells, "  "), " ")
	if t.width > 0 {
		line = cut(line, t.width)
	}
	return line
}
