package journal

import (
	"context"
	"database/sql"
	"iter"
	"math"
	"time"
)

// What is something whose first appearance is kept.
type What string

// What is kept.
const (
	Modules  What = "module"
	Files    What = "file"
	Contents What = "content"
)

// First says when a value was seen first.
type First struct {
	What  What
	Value string
	// Seq, Time and ID are those of its first record. Retention may have removed that:
	// then Get does not find it.
	Seq  int64
	Time time.Time
	ID   string
}

// FirstSeen yields modules, files or contents that were seen first from since until
// before until, in the order in which that was; a zero time is no bound. An attempt
// that failed counts, and a module that an inventory found. A request does not: what
// it names is not a module yet. Nor does what a minor record names: anybody can try to load
// what is not a module.
func (r *Reader) FirstSeen(ctx context.Context, what What, since, until time.Time) iter.Seq2[First, error] {
	return func(yield func(First, error) bool) {
		more := true
		question := "SELECT " + bounded("value", MaxText) + ", seq, time, " + bounded("id", MaxText) +
			" FROM first INDEXED BY first_by_seq WHERE what = ? AND time >= ? AND time < ? ORDER BY seq"
		err := r.inOneView(ctx, func(q querier) error {
			return each(ctx, q, question, []any{string(what), nanos(since, math.MinInt64), nanos(until, math.MaxInt64)}, func(rows *sql.Rows) (bool, error) {
				f := First{What: what}
				var ns int64
				if err := rows.Scan((*text)(&f.Value), &f.Seq, &ns, (*text)(&f.ID)); err != nil {
					return false, corrupt("when it saw a %s first: %v", what, err)
				}
				f.Time = time.Unix(0, ns)
				more = yield(f, nil)
				return more, nil
			})
		})
		if err := r.settled("ask", err); err != nil && more {
			yield(First{}, err)
		}
	}
}

// shows yields what a record shows to exist.
func (r *Record) shows() iter.Seq2[What, string] {
	return func(yield func(What, string) bool) {
		switch {
		case r.Kind == KindPresent, r.Kind == KindAppeared:
		case r.Kind != KindAction, r.Action == Request, r.Class == ClassMinor:
			return
		}
		for _, v := range []struct {
			what  What
			value string
		}{{Modules, r.Module}, {Files, r.File}, {Contents, r.Content}} {
			if v.value != "" && !yield(v.what, v.value) {
				return
			}
		}
	}
}
