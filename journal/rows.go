package journal

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strings"
	"time"
)

// names are the columns of a record, in order.
const names = "seq, time, uid, count, prev, hash, id, boot, kind, module, action, outcome, cause, user, container, file, content, class, form, body"

// columns are what scan takes. In a forged file a value may be as large as the disk: what
// is larger than one may be comes as a number.
var columns = boundedNames()

func boundedNames() string {
	list := strings.Split(names, ", ")
	for i, name := range list {
		switch name {
		case "seq", "time", "uid", "count", "class", "form":
		case "body":
			list[i] = bounded(name, MaxBody)
		default:
			list[i] = bounded(name, MaxText)
		}
	}
	return strings.Join(list, ", ")
}

// bounded asks for a column; for a number where that is larger.
func bounded(column string, most int) string {
	return fmt.Sprintf("iif(octet_length(%[1]s) <= %[2]d, %[1]s, octet_length(%[1]s))", column, most)
}

// text and blob take a column of that type only. A value of another type would be
// found by no question, and yet have the same bytes.
type (
	text string
	blob []byte
)

func (t *text) Scan(value any) error {
	s, ok := value.(string)
	if !ok {
		return fmt.Errorf("a text is stored as %T, or is too long", value)
	}
	*t = text(s)
	return nil
}

func (b *blob) Scan(value any) error {
	v, ok := value.([]byte)
	if !ok {
		return fmt.Errorf("a blob is stored as %T, or is too long", value)
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
func (k *kept) scan(rows *sql.Rows) error {
	*k = kept{Record: Record{Seq: math.MinInt64}}
	r := &k.Record
	var ns int64
	var uid sql.NullInt64
	var prev, hash, body blob
	into := []any{&r.Seq, &ns, &uid, &r.Count, &prev, &hash}
	for _, t := range r.texts() {
		into = append(into, (*text)(t))
	}
	if err := rows.Scan(append(into, &r.Class, &k.form, &body)...); err != nil {
		return corrupt("record %d: %v", r.Seq, err)
	}
	r.Time, r.Body = time.Unix(0, ns), body
	if r.Class < ClassDefault || r.Class > ClassKept || k.form != formPlain && (k.form != formPacked || r.Class == ClassDefault) {
		return corrupt("record %d: class %d, form %d", r.Seq, r.Class, k.form)
	}
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
func one(rows *sql.Rows, err error) (*kept, error) {
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
	k := &kept{}
	return k, k.scan(rows)
}
