package journal

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
)

// Get gives one record: that with this ID; else that with this number; else the one whose
// ID begins with it. It fails with [ErrNotFound], and with an [*AmbiguousError] where
// several begin so. A record that is not as it was written comes with [ErrCorrupt].
func (r *Reader) Get(ctx context.Context, name string) (*Record, error) {
	var found *Record
	err := r.inOneView(ctx, func(q querier) error {
		k, err := get(ctx, q, name)
		if k == nil {
			return err
		}
		found = &k.Record
		if err == nil {
			*found, err = r.whole(ctx, newExpander(q), k)
		}
		return err
	})
	return found, r.settled("ask", err)
}

// whole gives a record as it was appended. One that is not as it was written comes with
// [ErrCorrupt].
func (r *Reader) whole(ctx context.Context, e *expander, k *kept) (Record, error) {
	err := k.intact(r.name)
	one, bad := e.expand(ctx, k)
	return one, errors.Join(err, bad)
}

func get(ctx context.Context, q querier, name string) (*kept, error) {
	if name == "" {
		return nil, ErrNotFound
	}
	found, err := one(q.QueryContext(ctx, "SELECT "+columns+" FROM record WHERE id = ?", name))
	if !errors.Is(err, ErrNotFound) {
		return found, err
	}
	if seq, err := strconv.ParseInt(name, 10, 64); err == nil {
		found, err := one(q.QueryContext(ctx, "SELECT "+columns+" FROM record WHERE seq = ?", seq))
		if !errors.Is(err, ErrNotFound) {
			return found, err
		}
	}
	return byPrefix(ctx, q, name)
}

func byPrefix(ctx context.Context, q querier, prefix string) (*kept, error) {
	var ids []string
	where, args := "id >= ?", []any{prefix}
	if end := prefixEnd(prefix); end != "" {
		where, args = where+" AND id < ?", append(args, end)
	}
	err := each(ctx, q, "SELECT "+bounded("id", MaxText)+" FROM record WHERE "+where+" ORDER BY id LIMIT 5", args,
		func(rows *sql.Rows) (bool, error) {
			var id text
			err := rows.Scan(&id)
			ids = append(ids, string(id))
			return true, err
		})
	switch {
	case err != nil:
		return nil, err
	case len(ids) == 0:
		return nil, ErrNotFound
	case len(ids) > 1:
		return nil, &AmbiguousError{Prefix: prefix, IDs: ids}
	}
	return one(q.QueryContext(ctx, "SELECT "+columns+" FROM record WHERE id = ?", ids[0]))
}

// prefixEnd gives the first text after all that have a prefix, in the order of their
// bytes; none where there is no end.
func prefixEnd(prefix string) string {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xff {
			b[i]++
			return string(b[:i+1])
		}
	}
	return ""
}
