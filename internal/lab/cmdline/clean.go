package cmdline

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/lab"
	"github.com/kmodtrace/kmodtrace/internal/term"
	"github.com/rs/zerolog"
)

// Clean removes what the cache no longer needs, prints what was removed, and logs what should have
// been: see [lab.Clean].
func Clean(out io.Writer, log *zerolog.Logger, o lab.CleanOptions) error {
	cache, err := lab.CacheDir()
	if err != nil {
		return err
	}
	done, cleanErr := lab.Clean(cache, o)
	if err := printCleaned(out, log, done); err != nil {
		return term.OutputError(err)
	}
	return cleanErr
}

// printCleaned lists what was removed, and reports what should have been.
func printCleaned(out io.Writer, log *zerolog.Logger, done lab.Cleaned) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	freed := int64(0)
	for _, r := range done.Removed {
		freed += r.Size
		fmt.Fprintf(t, "removed %s\t%s\t%s\n", cells.Printable(r.Name), mebibytes(r.Size), cells.Printable(r.Why))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, k := range done.Kept {
		log.Warn().Msgf("left %s: %s", cells.Printable(k.Name), cells.Printable(k.Why))
	}
	_, err := fmt.Fprintf(out, "%s freed, %s left\n", mebibytes(freed), mebibytes(done.Left))
	return err
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
