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

// readAtOnce is how many bytes of bodies ReadFrom gives at most, after the first.
const readAtOnce = 16 << 20

// ReadFrom gives up to n records from a number on, oldest first; none where there are
// none yet, and fewer where their bodies are long. Where retention has removed some of
// them, their numbers are not there. One that is not as it was written ends it with
// [ErrCorrupt], and those before it: what is behind has to be asked for by its number.
func (r *Reader) ReadFrom(ctx context.Context, seq int64, n int) ([]Record, error) {
	var records []Record
	bytes := 0
	err := r.inOneView(ctx, func(q querier) error {
		e := newExpander(q)
		return each(ctx, q, "SELECT "+columns+" FROM record WHERE seq >= ? ORDER BY seq LIMIT ?", []any{seq, max(n, 0)},
			func(rows *sql.Rows) (bool, error) {
				var k kept
				if err := k.scan(rows); err != nil {
					return false, err
				}
				one, err := r.whole(ctx, e, &k)
				if err != nil {
					return false, err
				}
				records = append(records, one)
				bytes += len(one.Body)
				return bytes < readAtOnce, nil
			})
	})
	return records, r.settled("ask", err)
}
