package journal

import (
	"context"
	"database/sql"
	"errors"
)

// SetCursor keeps how far an output has come. It is durable when it returns. Cursors are
// no part of the chain.
func (j *Journal) SetCursor(ctx context.Context, name string, seq int64) error {
	err := j.write(ctx, func(t *writing) error {
		_, err := t.c.ExecContext(ctx, "INSERT INTO cursor VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET seq = ?2", name, seq)
		return err
	})
	return wrap("keep a cursor in", j.path, err)
}

// Cursor gives what [Journal.SetCursor] kept last under a name, and 0 where it never
// did.
func (r *Reader) Cursor(ctx context.Context, name string) (int64, error) {
	var seq int64
	err := r.db.QueryRowContext(ctx, "SELECT seq FROM cursor WHERE name = ?", name).Scan(&seq)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return seq, r.settled("ask", err)
}

// ReadFrom gives up to n records from a number on, oldest first; none where there are
// none yet. Where retention has removed some of them, the first that is left has a
// higher number. One that is not as it was written ends it with [ErrCorrupt], and those
// before it: what is behind has to be asked for by its number.
func (r *Reader) ReadFrom(ctx context.Context, seq int64, n int) ([]Record, error) {
	var records []Record
	err := each(ctx, r.db, "SELECT "+columns+" FROM record WHERE seq >= ? ORDER BY seq LIMIT ?", []any{seq, max(n, 0)},
		func(rows *sql.Rows) (bool, error) {
			var one Record
			err := one.scan(rows)
			if err == nil {
				err = one.intact(r.name)
			}
			if err == nil {
				records = append(records, one)
			}
			return true, err
		})
	return records, r.settled("ask", err)
}
