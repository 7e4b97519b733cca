package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
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
// did. A cursor that is not the number of a record up to the last is [ErrCursor]: an output
// that went on from there would skip records.
func (r *Reader) Cursor(ctx context.Context, name string) (int64, error) {
	var seq int64
	err := r.inOneView(ctx, func(q querier) error {
		err := q.QueryRowContext(ctx, "SELECT seq FROM cursor WHERE name = ?", name).Scan(&seq)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		head, err := readHead(ctx, q)
		if err == nil && !reachable(seq, head.seq) {
			err = fmt.Errorf("%w: %s", ErrCursor, wrongCursor(name, seq, head.seq))
		}
		return err
	})
	if err != nil {
		return 0, r.settled("ask", err)
	}
	return seq, r.settled("ask", nil)
}

// reachable tells whether an output can have had a record: outputs get those that are in the
// journal, and the cursor is kept after that.
func reachable(seq, last int64) bool { return seq >= 1 && seq <= last }

func wrongCursor(name string, seq, last int64) string {
	return fmt.Sprintf("the cursor of output %.100q is %d, but the journal has records up to %d: it is not known which of them the output has had", name, seq, last)
}

// cursorsAgree looks for cursors that no output can have reached.
func (v *verifier) cursorsAgree(ctx context.Context) error {
	// Where the end that is kept apart is wrong, another problem says so.
	last := max(v.walk.last().seq, v.report.Last.Count)
	return each(ctx, v.q, "SELECT "+bounded("name", MaxText)+", seq FROM cursor WHERE seq NOT BETWEEN 1 AND ? LIMIT 20", []any{last},
		func(rows *sql.Rows) (bool, error) {
			var name string
			var seq int64
			if err := rows.Scan(&name, &seq); err != nil {
				return false, corrupt("a cursor: %v", err)
			}
			v.report.add(Derived, 0, 0, "%s", wrongCursor(name, seq, last))
			return true, nil
		})
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
