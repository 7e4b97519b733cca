package journal

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Column is one of those that a [Filter] asks by.
type Column string

// The columns of text that have an index.
const (
	ByModule    Column = "module"
	ByAction    Column = "action"
	ByOutcome   Column = "outcome"
	ByCause     Column = "cause"
	ByUser      Column = "user"
	ByContainer Column = "container"
	ByFile      Column = "file"
	ByContent   Column = "content"
	ByBoot      Column = "boot"
)

func (c Column) index() string { return "by_" + string(c) }

// known lets SQLite see that the index has what is asked for.
func (c Column) known() string {
	if c == ByBoot { // the index has all
		return "TRUE"
	}
	return string(c) + " <> ''"
}

// term asks for any of some values.
func (c Column) term(values []string) term {
	t := term{index: c.index()}
	for _, v := range values {
		t.args = append(t.args, v)
	}
	if len(values) == 1 {
		t.where = fmt.Sprintf("%s = ? AND %s", c, c.known())
	} else {
		t.where = fmt.Sprintf("%s IN (?%s) AND %s", c, strings.Repeat(", ?", len(values)-1), c.known())
	}
	return t
}

// maxValues is how many bytes of different values are kept in memory.
const maxValues = 128 << 20

// Values gives the different values that a column has, in the order of their bytes. It
// takes as long as there are different ones, however many records have each.
func (r *Reader) Values(ctx context.Context, c Column) ([]string, error) {
	var values []string
	bytes := 0
	from := fmt.Sprintf("SELECT min(%s) FROM record INDEXED BY %s WHERE %s", c, c.index(), c.known())
	question := fmt.Sprintf(`WITH RECURSIVE every (value) AS (
		%s UNION ALL SELECT (%s AND %s > value) FROM every WHERE value IS NOT NULL
	) SELECT %s FROM every WHERE value IS NOT NULL`, from, from, c, bounded("value", MaxText))
	err := r.inOneView(ctx, func(q querier) error {
		return each(ctx, q, question, nil, func(rows *sql.Rows) (bool, error) {
			var value text
			if err := rows.Scan(&value); err != nil {
				return false, corrupt("which values of %s there are: %v", c, err)
			}
			if bytes += len(value); bytes > maxValues {
				return false, fmt.Errorf("it has different values of %s of more than %d MiB", c, maxValues>>20)
			}
			values = append(values, string(value))
			return true, nil
		})
	})
	return values, r.settled("ask", err)
}

// Boot is a run of the kernel of which there are records.
type Boot struct {
	ID          string
	First, Last int64     // the numbers of its oldest and newest record
	From, To    time.Time // of these
}

// Boots gives the runs of the kernel, oldest first.
func (r *Reader) Boots(ctx context.Context) ([]Boot, error) {
	ids, err := r.Values(ctx, ByBoot)
	if err != nil {
		return nil, err
	}
	boots := make([]Boot, 0, len(ids))
	for _, id := range ids {
		b := Boot{ID: id}
		var first, last, from, to sql.NullInt64
		const of = "FROM record INDEXED BY by_boot WHERE boot = ?1"
		err := r.db.QueryRowContext(ctx, "SELECT a.seq, b.seq, a.time, b.time FROM record a, record b WHERE a.seq = (SELECT min(seq) "+of+
			") AND b.seq = (SELECT max(seq) "+of+")", id).Scan(&first, &last, &from, &to)
		if err != nil {
			return nil, r.settled("ask", err)
		}
		b.First, b.Last, b.From, b.To = first.Int64, last.Int64, time.Unix(0, from.Int64), time.Unix(0, to.Int64)
		boots = append(boots, b)
	}
	slices.SortFunc(boots, func(a, b Boot) int { return cmp.Compare(a.First, b.First) })
	return boots, r.settled("ask", nil)
}
