package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/lab"
	"github.com/kmodtrace/kmodtrace/internal/term"
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
the cache takes no more than --most GiB. A fetch does the same by itself with what nobody
has used for a day.

What another process uses stays, and so does what a link leads to outside the cache. The
cache is $KMODTRACE_CACHE, or kmodtrace below $XDG_CACHE_HOME.`,
		Example: `  kmodtrace lab clean
  kmodtrace lab clean --most 5
  kmodtrace lab clean --all      # everything that nobody uses now`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if most < 0 || most > 1<<20 {
				return cli.Usagef("--most %d: want 0 to %d GiB", most, 1<<20)
			}
			cache, err := lab.CacheDir()
			if err != nil {
				return err
			}
			done, cleanErr := lab.Clean(cache, lab.CleanOptions{All: all, Most: most << 30})
			if err := printCleaned(cmd, done); err != nil {
				return term.OutputError(err)
			}
			return cleanErr
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "remove everything that nobody uses now")
	cmd.Flags().Int64Var(&most, "most", lab.CacheMost>>30, "GiB that the cache may take")
	return cmd
}

// printCleaned lists what was removed, and reports what should have been.
func printCleaned(cmd *cobra.Command, done lab.Cleaned) error {
	t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	freed := int64(0)
	for _, r := range done.Removed {
		freed += r.Size
		fmt.Fprintf(t, "removed %s\t%s\t%s\n", cells.Printable(r.Name), mebibytes(r.Size), cells.Printable(r.Why))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, k := range done.Kept {
		zerolog.Ctx(cmd.Context()).Warn().Msgf("left %s: %s", cells.Printable(k.Name), cells.Printable(k.Why))
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s freed, %s left\n", mebibytes(freed), mebibytes(done.Left))
	return err
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
