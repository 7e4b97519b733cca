package main

import (
	"errors"
	"io/fs"

	"github.com/kmodtrace/kmodtrace/internal/cells"
	"github.com/kmodtrace/kmodtrace/internal/outfile"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/service"
	"github.com/spf13/cobra"
)

func addJournalFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "journal", service.DefaultJournal, "ask the journal in this `FILE`")
}

// withJournal opens a journal for questions. An error says what to do.
func withJournal(path string, ask func(*journal.Reader) error) error {
	r, err := journal.OpenReadOnly(path)
	if err != nil {
		return journalError(err)
	}
	return journalError(errors.Join(ask(r), r.Close()))
}

// journalError adds what to do about an error of a journal.
func journalError(err error) error {
	var already *exitError
	var output *outfile.Error
	if err == nil || errors.As(err, &already) || errors.As(err, &output) {
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
		{journal.ErrCorrupt, "kmodtrace audit verify says what is wrong, where the file can be read at all; kmodtrace serve sets it aside and begins a new one"},
	} {
		if errors.Is(err, known.is) {
			return &exitError{status: exitRefused, err: cells.OneLine(err), hint: known.hint}
		}
	}
	return err
}
