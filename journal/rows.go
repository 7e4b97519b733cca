package journal

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"time"
)

// columns are those that scan takes, in order.
const columns = "seq, time, uid, count, prev, hash, id, boot, kind, module, action, outcome, cause, user, container, file, content, body"

// text and blob take a column of that type only. A value of another type would be
// found by no question, and yet have the same bytes.
type (
	text string
	blob []byte
)

func (t *text) Scan(value any) error {
	s, ok := value.(string)
	if !ok {
		return fmt.Errorf("a text is stored as %T", value)
	}
	*t = text(s)
	return nil
}

func (b *blob) Scan(value any) error {
	v, ok := value.([]byte)
	if !ok {
		return fmt.Errorf("a blob is stored as %T", value)
	}
	*b = append((*b)[:0], v...)
	return nil
}

// sum takes the blob for a hash.
func (b blob) sum(s *Sum) error {
	if len(b) != len(s) {
		return corrupt("a hash of %d bytes", len(b))
	}
	copy(s[:], b)
	return nil
}

// scan takes a record from the columns. When it fails, the number is there if that could
// be read.
func (r *Record) scan(rows *sql.Rows) error {
	*r = Record{Seq: math.MinInt64}
	var ns int64
	var uid sql.NullInt64
	var prev, hash, body blob
	into := []any{&r.Seq, &ns, &uid, &r.Count, &prev, &hash}
	for _, t := range r.texts() {
		into = append(into, (*text)(t))
	}
	if err := rows.Scan(append(into, &body)...); err != nil {
		return corrupt("record %d: %v", r.Seq, err)
	}
	r.Time, r.Body = time.Unix(0, ns), body
	if uid.Valid {
		if uid.Int64 < 0 || uid.Int64 > math.MaxUint32 {
			return corrupt("record %d: a user id of %d", r.Seq, uid.Int64)
		}
		id := uint32(uid.Int64)
		r.UID = &id
	}
	if err := prev.sum(&r.Prev); err != nil {
		return err
	}
	return hash.sum(&r.Hash)
}

// each calls fn for the rows of a question until it returns false, and gives the
// question's error.
func each(ctx context.Context, q querier, question string, args []any, fn func(*sql.Rows) (bool, error)) error {
	rows, err := q.QueryContext(ctx, question, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if more, err := fn(rows); err != nil || !more {
			return err
		}
	}
	return rows.Err()
}

// one gives the first record of a question.
func one(rows *sql.Rows, err error) (*Record, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return nil, err
		}
		return nil, ErrNotFound
	}
	r := &Record{}
	return r, r.scan(rows)
}
