package journal

import (
	"context"
	"database/sql"
	"math"
	"time"
)

// blockSize is how many records share a span of times.
const blockSize = 1024

func block(seq int64) int64 { return seq / blockSize }

// everything holds the numbers of all records.
var everything = seqRange{1, math.MaxInt64}

// seqRange holds the numbers from first to last.
type seqRange struct{ first, last int64 }

// seqsBetween narrows down which records can have a time from since until before until,
// where a zero time is no bound. It tells false where none can.
func seqsBetween(ctx context.Context, q querier, since, until time.Time) (seqRange, bool, error) {
	if since.IsZero() && until.IsZero() {
		return everything, true, nil
	}
	lo, hi := nanos(since, math.MinInt64), nanos(until, math.MaxInt64)
	var first, last sql.NullInt64
	err := q.QueryRowContext(ctx, "SELECT min(block), max(block) FROM span WHERE hi >= ? AND lo <= ?", lo, hi).Scan(&first, &last)
	if err != nil || !first.Valid {
		return seqRange{}, false, err
	}
	return seqRange{first.Int64 * blockSize, last.Int64*blockSize + blockSize - 1}, true, nil
}

// nanos gives the nearest time that can be kept, and a default for no time.
func nanos(t time.Time, none int64) int64 {
	switch {
	case t.IsZero():
		return none
	case storable(t):
		return t.UnixNano()
	case t.Before(time.Unix(0, 0)):
		return math.MinInt64
	}
	return math.MaxInt64
}
