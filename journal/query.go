package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"time"
)

// Filter says which records are asked for: those that have all that it names; of the
// values of one field, any. Its zero value is all records, newest first.
type Filter struct {
	Kinds      []Kind
	Modules    []string
	Actions    []string
	Outcomes   []string
	Causes     []string
	Users      []string
	Containers []string
	Files      []string
	Contents   []string
	Boots      []string
	UID        *uint32
	// Since and Until bound the time; until itself is not in it.
	Since, Until time.Time
	// From and Through bound the number; no bound if zero.
	From, Through int64
	// Final leaves out each [KindPending] of an action that has ended since: its KindAction is there.
	Final bool
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
		err := r.inOneView(ctx, func(q querier) error {
			return r.query(ctx, q, f, func(one Record, err error) bool {
				more = yield(one, wrap("ask", r.path, err))
				return more
			})
		})
		if err := r.settled("ask", err); err != nil && more {
			yield(Record{}, err)
		}
	}
}

func (r *Reader) query(ctx context.Context, q querier, f Filter, yield func(Record, error) bool) error {
	seqs, any, err := seqsBetween(ctx, q, f.Since, f.Until)
	if err != nil || !any {
		return err
	}
	if seqs.first = max(seqs.first, f.From); f.Through > 0 {
		seqs.last = min(seqs.last, f.Through)
	}
	terms := f.terms()
	index, err := narrowest(ctx, q, terms, seqs)
	if err != nil {
		return err
	}
	left, e := f.Limit, newExpander(q)
	give := func(rows *sql.Rows) (bool, error) {
		var k kept
		err := k.scan(rows)
		if err == nil && !f.hasLongest(&k.Record) {
			return true, nil
		}
		one := k.Record
		if err == nil {
			if one, err = r.whole(ctx, e, &k); err != nil && !errors.Is(meaning(err), ErrCorrupt) {
				return false, err
			}
		}
		left--
		return yield(one, err) && left != 0, nil
	}
	if !orders(terms, index) {
		return queryByNumber(ctx, q, f, terms, index, seqs, give)
	}
	statement, args := f.statement(columns, terms, index, seqs)
	return each(ctx, q, statement, args, give)
}

// queryByNumber is for an index that does not give records in order: their numbers are
// brought in order before any record is read, for a body can be long.
func queryByNumber(ctx context.Context, q querier, f Filter, terms []term, index string, seqs seqRange, give func(*sql.Rows) (bool, error)) error {
	var found []int64
	statement, args := f.statement("seq", terms, index, seqs)
	err := each(ctx, q, statement, args, func(rows *sql.Rows) (bool, error) {
		var seq int64
		err := rows.Scan(&seq)
		found = append(found, seq)
		return true, err
	})
	more := true
	for i := 0; i < len(found) && more && err == nil; i++ {
		err = each(ctx, q, "SELECT "+columns+" FROM record WHERE seq = ?", []any{found[i]}, func(rows *sql.Rows) (_ bool, err error) {
			more, err = give(rows)
			return more, err
		})
	}
	return err
}

// term is one condition, and the index by which its records are found.
type term struct {
	index, where string
	args         []any
}

// orders tells whether an index gives records in the order of their numbers: for one
// value it does. Of gaps there are so few that it does not matter.
func orders(terms []term, index string) bool {
	for _, t := range terms {
		if t.index == index {
			return len(t.args) == 1 || index == byKind
		}
	}
	return true
}

const byKind = "by_kind"

// maxListed is how many values of a column are asked for in a statement. More than that
// are compared here: every record is read for it.
const maxListed = 500

// wanted is a column, and the values of it that are asked for.
type wanted struct {
	column Column
	values []string
	of     func(*Record) string
}

// wanted gives the columns of text, those first whose values mostly leave least.
func (f *Filter) wanted() []wanted {
	return []wanted{
		{ByContent, f.Contents, func(r *Record) string { return r.Content }},
		{ByFile, f.Files, func(r *Record) string { return r.File }},
		{ByModule, f.Modules, func(r *Record) string { return r.Module }},
		{ByCause, f.Causes, func(r *Record) string { return r.Cause }},
		{ByContainer, f.Containers, func(r *Record) string { return r.Container }},
		{ByUser, f.Users, func(r *Record) string { return r.User }},
		{ByOutcome, f.Outcomes, func(r *Record) string { return r.Outcome }},
		{ByAction, f.Actions, func(r *Record) string { return r.Action }},
		{ByBoot, f.Boots, func(r *Record) string { return r.Boot }},
	}
}

// hasLongest compares what no statement does.
func (f *Filter) hasLongest(r *Record) bool {
	for _, w := range f.wanted() {
		if len(w.values) > maxListed && !slices.Contains(w.values, w.of(r)) {
			return false
		}
	}
	return true
}

// comparesHere tells whether there is anything for hasLongest.
func (f *Filter) comparesHere() bool {
	return slices.ContainsFunc(f.wanted(), func(w wanted) bool { return len(w.values) > maxListed })
}

// terms gives the conditions that an index serves, those that mostly leave least first.
func (f *Filter) terms() []term {
	var terms []term
	for _, w := range f.wanted() {
		if n := len(w.values); n > 0 && n <= maxListed {
			terms = append(terms, w.column.term(w.values))
		}
	}
	if f.UID != nil {
		terms = append(terms, term{"by_uid", "uid = ?", []any{int64(*f.UID)}})
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
	t := term{index: byKind, where: "kind IN (?" + strings.Repeat(", ?", len(f.Kinds)-1) + ")"}
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
func narrowest(ctx context.Context, q querier, terms []term, seqs seqRange) (string, error) {
	if len(terms) == 1 {
		return terms[0].index, nil
	}
	best, least := "", enough
	for _, t := range terms {
		var n int
		question := fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM record INDEXED BY %s WHERE %s AND seq BETWEEN ? AND ? LIMIT %d)", t.index, t.where, least)
		if err := q.QueryRowContext(ctx, question, append(slices.Clone(t.args), seqs.first, seqs.last)...).Scan(&n); err != nil {
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

// stillPending leaves out what is pending and was followed by its end.
const stillPending = `NOT (record.kind = 'pending' AND EXISTS (
  SELECT 1 FROM record AS ended WHERE ended.id = substr(record.id, 1, length(record.id) - ?) AND ended.kind = 'action'))`

// statement asks for what fits: the columns of records, or only their numbers.
func (f *Filter) statement(what string, terms []term, index string, seqs seqRange) (string, []any) {
	where := []string{"seq BETWEEN ? AND ?"}
	args := []any{seqs.first, seqs.last}
	for _, t := range terms {
		where, args = append(where, t.where), append(args, t.args...)
	}
	if len(f.Kinds) > 1 && !f.onlyGaps() {
		t := f.kinds()
		where, args = append(where, t.where), append(args, t.args...)
	}
	if f.Final {
		where, args = append(where, stillPending), append(args, len(PendingSuffix))
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
	if f.Limit > 0 && !f.comparesHere() {
		limit = f.Limit
	}
	return fmt.Sprintf("SELECT %s FROM %s WHERE %s ORDER BY seq %s LIMIT %d", what, from, strings.Join(where, " AND "), order, limit), args
}
