package journal

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"time"
)

// Filter says which records are asked for: those that have all that it names. Its zero
// value is all records, newest first.
type Filter struct {
	Kinds     []Kind // any of these
	Module    string
	Action    string
	Outcome   string
	Cause     string
	User      string
	Container string
	File      string
	Content   string
	Boot      string
	UID       *uint32
	// Since and Until bound the time; until itself is not in it.
	Since, Until time.Time
	// OldestFirst turns the order, which is that of appending.
	OldestFirst bool
	// Limit is how many to give at most; all if zero.
	Limit int
}

// Query yields the records that a filter names, in the order of the chain. A record
// that is not as it was written comes with an error of its own, [ErrCorrupt], and those
// after it can still be asked for; any other error is the end. Records that are missing
// only [Reader.Verify] finds. While it is not read to its end, the writer's log cannot
// be shortened.
func (r *Reader) Query(ctx context.Context, f Filter) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		more := true
		err := r.query(ctx, f, func(one Record, err error) bool {
			more = yield(one, wrap("ask", r.path, err))
			return more
		})
		if err := r.settled("ask", err); err != nil && more {
			yield(Record{}, err)
		}
	}
}

func (r *Reader) query(ctx context.Context, f Filter, yield func(Record, error) bool) error {
	seqs, any, err := seqsBetween(ctx, r.db, f.Since, f.Until)
	if err != nil || !any {
		return err
	}
	terms := f.terms()
	index, err := r.narrowest(ctx, terms, seqs)
	if err != nil {
		return err
	}
	statement, args := f.statement(terms, index, seqs)
	return each(ctx, r.db, statement, args, func(rows *sql.Rows) (bool, error) {
		var one Record
		err := one.scan(rows)
		if err == nil {
			err = one.intact(r.name)
		}
		return yield(one, err), nil
	})
}

// term is one condition, and the index by which its records are found.
type term struct {
	index, where string
	args         []any
}

// terms gives the conditions that an index serves, those that mostly leave least first.
func (f *Filter) terms() []term {
	var terms []term
	for _, c := range []struct{ column, value string }{
		{"content", f.Content}, {"file", f.File}, {"module", f.Module}, {"cause", f.Cause}, {"container", f.Container},
		{"user", f.User}, {"outcome", f.Outcome}, {"action", f.Action},
	} {
		if c.value != "" {
			// The second half lets SQLite see that the index has what is asked for.
			where := fmt.Sprintf("%s = ? AND %[1]s <> ''", c.column)
			terms = append(terms, term{"by_" + c.column, where, []any{c.value}})
		}
	}
	if f.UID != nil {
		terms = append(terms, term{"by_uid", "uid = ?", []any{int64(*f.UID)}})
	}
	if f.Boot != "" {
		terms = append(terms, term{"by_boot", "boot = ?", []any{f.Boot}})
	}
	if len(f.Kinds) == 1 || f.onlyGaps() {
		terms = append(terms, f.kinds())
	}
	return terms
}

// onlyGaps tells whether all kinds are those of gaps. There are few of these, so they can
// be brought in order.
func (f *Filter) onlyGaps() bool {
	return len(f.Kinds) > 0 && !slices.ContainsFunc(f.Kinds, func(k Kind) bool { return !k.Gap() })
}

func (f *Filter) kinds() term {
	t := term{index: "by_kind", where: "kind IN (?" + strings.Repeat(", ?", len(f.Kinds)-1) + ")"}
	for _, k := range f.Kinds {
		t.args = append(t.args, string(k))
	}
	return t
}

// enough records are as good as any number: an index that has more is not looked at
// any further.
const enough = 5000

// narrowest gives the index with the fewest records that can be meant; none where all of
// them have many, and then the records themselves are as quick.
func (r *Reader) narrowest(ctx context.Context, terms []term, seqs seqRange) (string, error) {
	if len(terms) == 1 {
		return terms[0].index, nil
	}
	best, least := "", enough
	for _, t := range terms {
		var n int
		question := fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM record INDEXED BY %s WHERE %s AND seq BETWEEN ? AND ? LIMIT %d)", t.index, t.where, least)
		if err := r.db.QueryRowContext(ctx, question, append(slices.Clone(t.args), seqs.first, seqs.last)...).Scan(&n); err != nil {
			return "", err
		}
		if n < least {
			best, least = t.index, n
		}
		if n == 0 {
			break
		}
	}
	if best == "" && len(terms) > 0 {
		best = terms[0].index
	}
	return best, nil
}

// statement asks for the records that fit.
func (f *Filter) statement(terms []term, index string, seqs seqRange) (string, []any) {
	where := []string{"seq BETWEEN ? AND ?"}
	args := []any{seqs.first, seqs.last}
	for _, t := range terms {
		where, args = append(where, t.where), append(args, t.args...)
	}
	if len(f.Kinds) > 1 && !f.onlyGaps() {
		t := f.kinds()
		where, args = append(where, t.where), append(args, t.args...)
	}
	if !f.Since.IsZero() {
		where, args = append(where, "time >= ?"), append(args, nanos(f.Since, 0))
	}
	if !f.Until.IsZero() {
		where, args = append(where, "time < ?"), append(args, nanos(f.Until, 0))
	}
	from, order, limit := "record NOT INDEXED", "DESC", math.MaxInt64
	if index != "" {
		from = "record INDEXED BY " + index
	}
	if f.OldestFirst {
		order = "ASC"
	}
	if f.Limit > 0 {
		limit = f.Limit
	}
	return fmt.Sprintf("SELECT %s FROM %s WHERE %s ORDER BY seq %s LIMIT %d", columns, from, strings.Join(where, " AND "), order, limit), args
}
