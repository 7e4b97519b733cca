package main

import (
	"time"

	"github.com/kmodtrace/kmodtrace/internal/filter"
	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/kmodtrace/kmodtrace/internal/render"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/spf13/cobra"
)

func newListCommand() *cobra.Command {
	var asJSON bool
	var loaded history.LoadedFlags
	cmd := &cobra.Command{
		Use:   "list [GLOB...]",
		Short: "List the loaded modules",
		Long: "List the loaded modules, the last loaded first: what lsmod shows, and also their state, taints,\n" +
			"version and address (kernel.kptr_restrict hides addresses from users without privilege).\n" +
			"\"refcount negative\" marks a module that dropped a reference which it did not have: unloading it\n" +
			"would be a BUG in the kernel, and kmodtrace refuses it (kmodtrace explain refcount-negative).\n" +
			"\"blacklisted\" and \"blocked\" mark a module that is loaded although modprobe's configuration is\n" +
			"against it; --json and kmodtrace info NAME have the line (kmodtrace explain config-ignored).\n\n" +
			"When the journal of kmodtrace serve is readable, it also shows when each module was loaded, and by\n" +
			"whom. A ? means that there was a gap in the recording since then, in which another process may\n" +
			"have loaded the module again.",
		Example: "  kmodtrace list\n  kmodtrace list 'nf_*' --json",
		RunE: func(cmd *cobra.Command, globs []string) error {
			modules, err := kmod.List(&kmod.ListOptions{Root: loaded.Root})
			if err != nil {
				return err
			}
			if modules, err = filter.Modules(modules, globs); err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			known := loaded.Modules(cmd.Context())
			against := linesAgainst(loaded.Root, modules)
			if asJSON {
				return term.PrintJSON(out, history.ListedModules(modules, known, against))
			}
			table := render.ModuleTable(modules, against, term.Width(out))
			if known != nil {
				history.AddLoaded(table, modules, known, time.Now())
			}
			return term.PrintTo(out, table.Print)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON array (docs/schema/module.schema.json)")
	loaded.Register(cmd)
	return cmd
}

// linesAgainst gives the lines of modprobe's configuration that did not keep a module out. Nobody can
// say where there is no kernel to ask.
func linesAgainst(root string, modules []kmod.Module) map[string][]kernel.ConfigLine {
	k, err := kernel.Open(&kernel.Options{Root: root})
	if err != nil {
		return nil
	}
	against := make(map[string][]kernel.ConfigLine)
	for i := range modules {
		if lines := k.Against(modules[i].Name); len(lines) > 0 {
			against[modules[i].Name] = lines
		}
	}
	return against
}
