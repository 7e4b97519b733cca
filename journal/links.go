package journal

import (
	"context"
	"database/sql"
	"time"
)

// Links gives the numbers and hashes of up to n records from a number on, oldest first, as the
// file has them: what another keeper of the same records is compared with. Bodies are not read.
func (r *Reader) Links(ctx context.Context, from int64, n int) ([]Link, error) {
	var links []Link
	err := r.inOneView(ctx, func(q querier) error {
		return each(ctx, q, "SELECT seq, hash, time FROM record NOT INDEXED WHERE seq >= ? ORDER BY seq LIMIT ?", []any{from, max(n, 0)},
			func(rows *sql.Rows) (bool, error) {
				var l Link
				var hash []byte
				var ns int64
				if err := rows.Scan(&l.Seq, &hash, &ns); err != nil {
					return false, err
				}
				if len(hash) != len(l.Hash) {
					return false, changed("record %d has a hash of %d bytes", l.Seq, len(hash))
				}
				l.Hash, l.Time = Sum(hash), time.Unix(0, ns)
				links = append(links, l)
				return true, nil
			})
	})
	return links, r.settled("ask", err)
}

// Span is a run of numbers, with both ends.
type Span struct {
	From    int64 `json:"from"`
	Through int64 `json:"through"`
}

// Gone gives the records that a record says retention removed: nil for one that says nothing of
// the kind.
func (r *Record) Gone() ([]Span, error) {
	switch r.Kind {
	case KindRetention:
		said, err := r.removed()
		if err != nil {
			return nil, err
		}
		return []Span{{1, said.Through}}, nil
	case KindThinned:
		said, err := r.thinned()
		if err != nil {
			return nil, err
		}
		spans := make([]Span, len(said.Ranges))
		for i, h := range said.Ranges {
			spans[i] = Span{h.From, h.Through}
		}
		return spans, nil
	}
	return nil, nil
}
