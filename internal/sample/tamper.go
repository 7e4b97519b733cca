package sample

import (
	"context"
	"database/sql"

	_ "modernc.org/sqlite" // as anybody can write a journal's file

	"github.com/kmodtrace/kmodtrace/journal"
)

// Copy makes a copy of a journal, as one of the whole machine has it.
func Copy(ctx context.Context, of *journal.Journal, path string) (*journal.Journal, error) {
	if err := execute(ctx, of.Path(), "VACUUM INTO ?", path); err != nil {
		return nil, err
	}
	return journal.Open(path, nil)
}

// Rewrite makes a journal of the same name, in which one record has another user, and all hashes
// from it on fit: what somebody can do who may write the file.
func Rewrite(ctx context.Context, of *journal.Journal, path string, seq int64) (*journal.Journal, error) {
	j, err := journal.Open(path, nil)
	if err == nil {
		err = j.Close()
	}
	if err == nil {
		err = execute(ctx, path, "UPDATE head SET journal = ?", of.Name())
	}
	if err == nil {
		j, err = journal.Open(path, nil)
	}
	for from := int64(1); err == nil; {
		var records []journal.Record
		if records, err = of.ReadFrom(ctx, from, 1000); err != nil || len(records) == 0 {
			break
		}
		for i := range records {
			if records[i].Seq == seq {
				records[i].User = "nobody"
			}
		}
		_, err = j.Append(ctx, records...)
		from = records[len(records)-1].Seq + 1
	}
	return j, err
}

func execute(ctx context.Context, path, statement string, args ...any) error {
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, statement, args...)
	return err
}
