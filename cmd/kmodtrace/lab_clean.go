package main

import (
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/lab"
	"github.com/kmodtrace/kmodtrace/internal/lab/cmdline"
)

func newLabCleanCommand() *cobra.Command {
	var all bool
	var most int64
	cmd := &cobra.Command{
		Use:   "clean",
		Short: "Remove what the lab's cache no longer needs",
		Long: `Remove from the lab's cache the kernels that a newer one of their series replaces, with
their headers and what was built for them; compilers and systems of another version of
kmodtrace; what killed runs left half-written; and then what was used least recently, until
the cache takes no more than --most GiB. A fetch does the same by itself, but leaves what
was replaced until nobody has used it for a day.

What another process uses stays, and so does what a link leads to outside the cache. The
cache is $KMODTRACE_CACHE, or kmodtrace below $XDG_CACHE_HOME.`,
		Example: `  kmodtrace lab clean
  kmodtrace lab clean --most 5
  kmodtrace lab clean --all      # everything that nobody uses now`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if most < 0 || most > 1<<20 {
				return cli.Usagef("--most %d: must be 0 to %d GiB", most, 1<<20)
			}
			return cmdline.Clean(cmd.OutOrStdout(), zerolog.Ctx(cmd.Context()), lab.CleanOptions{All: all, Most: most << 30})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "remove everything that nobody uses now")
	cmd.Flags().Int64Var(&most, "most", lab.CacheMost>>30, "GiB that the cache may take")
	return cmd
}
