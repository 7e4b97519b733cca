package history

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/kmodtrace/kmodtrace/copies"
	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/outfile"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// WriteCopy writes what was loaded, as it is kept in a directory of copies. What is not whole is not written.
func WriteCopy(rec *journal.Record, dir, path string) error {
	a := ActionOf(rec)
	switch {
	case a == nil || a.Kind != tracer.Load:
		return fmt.Errorf("record %d is no load: there is no copy", rec.Seq)
	case a.Copy == nil:
		return cli.WithHint(fmt.Errorf("record %d: no copy of what it loaded was wanted", rec.Seq), "copies: in the configuration of kmodtrace serve says of which loads")
	case !a.Copy.Kept:
		return fmt.Errorf("record %d: no copy of what it loaded is kept: %s", rec.Seq, cells.Printable(a.Copy.Why))
	}
	f, err := outfile.Create(path)
	if err != nil {
		return err
	}
	defer f.Abandon()
	var content bytes.Buffer // of no more than the service hashes
	switch err := copies.Extract(dir, string(a.CopySum()), &content); {
	case errors.Is(err, copies.ErrNone):
		return cli.WithHint(fmt.Errorf("record %d: the copy of what it loaded is not in %s", rec.Seq, cells.Short(dir)),
			"kmodtrace history --kind discarded shows what there was no room for; --copies names another directory")
	case err != nil:
		return fmt.Errorf("record %d: %w", rec.Seq, err)
	}
	return f.Commit(content.Bytes())
}
