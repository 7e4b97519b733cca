package history

import (
	"errors"
	"io/fs"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/cli"
	"github.com/kmodtrace/kmodtrace/internal/outfile"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/service"
	"github.com/spf13/cobra"
)

// AddJournalFlag adds --journal to a command.
func AddJournalFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "journal", service.DefaultJournal, "read the journal in `FILE`")
}

// WithJournal opens a journal for questions. An error says what to do.
func WithJournal(path string, ask func(*journal.Reader) error) error {
	r, err := journal.OpenReadOnly(path)
	if err != nil {
		return JournalError(err)
	}
	return JournalError(errors.Join(ask(r), r.Close()))
}

// JournalError adds what to do about an error of a journal.
func JournalError(err error) error {
	var output *outfile.Error
	if err == nil || cli.Answered(err) || errors.As(err, &output) {
		return err
	}
	for _, known := range []struct {
		is   error
		hint string
	}{
		{fs.ErrNotExist, "kmodtrace serve writes one; --journal names another file"},
		{fs.ErrPermission, "ask as root, for instance by sudo"},
		{journal.ErrForeign, "--journal names another file"},
		{journal.ErrNewer, "ask with that version of kmodtrace"},
		{journal.ErrMoved, "the service began to write meanwhile: the same question now gets its answer"},
		{journal.ErrCorrupt, "kmodtrace audit verify lists them, where the file can be read at all; kmodtrace serve sets it aside and begins a new one"},
	} {
		if errors.Is(err, known.is) {
			return cli.WithHint(cells.OneLine(err), known.hint)
		}
	}
	return err
}
