package main

import (
	"time"

	"github.com/kmodtrace/kmodtrace/internal/filter"
	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/kmodtrace/kmodtrace/internal/render"
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
			if modules, err = filter.Modules(modules, globs); err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			known := loaded.Modules(cmd.Context())
			if asJSON {
				return term.PrintJSON(out, history.ListedModules(modules, known))
			}
			table := render.ModuleTable(modules, term.Width(out))
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
