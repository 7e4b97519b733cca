package journal

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"
)

// thinned is the body of a record that says which records were removed from between
// others.
type thinned struct {
	Class  Class  `json:"class"`
	Ranges []hole `json:"ranges"`          // in order
	First  *Sum   `json:"first,omitempty"` // as in removed; absent where that did not change
}

// hole is a run of records that were removed.
type hole struct {
	From    int64 `json:"from"`
	Through int64 `json:"through"`
	// Prev is the hash of the record before it, Hash that of its last: the record behind it
	// has that for its Prev.
	Prev Sum `json:"prev"`
	Hash Sum `json:"hash"`
}

// How much one transaction removes from between others: its record has to list it.
const (
	thinBatch  = 5000 // records
	thinRanges = 1000
)

// candidates asks for the records of a class, oldest first.
func candidates(c Class) string {
	const of = "SELECT seq, time, prev, hash, length(id) + 2 * (length(module) + length(file) + length(content) + length(user) + length(container)) + length(body) + 400, " +
		"iif(form = 1, body, x'') FROM record INDEXED BY "
	if c == ClassMinor {
		return of + "minor WHERE class = 1 AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
	}
	return of + `normal WHERE (class = 2 OR (class = 0 AND kind = 'action' AND outcome NOT IN ('live', 'unloaded')
  AND (outcome <> 'pending' OR action = 'request'))) AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?`
}

// thin removes records of a class until the file is as small as it is to be, or there are
// none left.
func (w *retaining) thin(ctx context.Context, class Class, goal int64) error {
	for more, after := true, int64(0); more; {
		err := w.j.write(ctx, func(t *writing) error {
			size, err := sizeOf(ctx, t.c)
			if err != nil || size.used() <= goal {
				more = false
				return err
			}
			s := &thinning{t: t, body: thinned{Class: class}, times: map[int64][2]int64{}}
			if err := s.choose(ctx, after, w.stop, size.used()-goal); err != nil || s.n == 0 {
				more = false
				return err
			}
			after = s.last
			w.done.Records, w.done.Thinned = w.done.Records+s.n, w.done.Thinned+s.n
			return s.remove(ctx, w.now, w.boot)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// thinning is one transaction of it.
type thinning struct {
	t     *writing
	body  thinned
	n     int64
	last  int64
	bytes int64
	times map[int64][2]int64 // the earliest and the latest that go, by block
}

// choose takes as many as have so many bytes.
func (s *thinning) choose(ctx context.Context, after, stop, bytes int64) error {
	return each(ctx, s.t.c, candidates(s.body.Class), []any{after, stop, thinBatch}, func(rows *sql.Rows) (bool, error) {
		var seq, ns, size int64
		var prev, hash, data blob
		if err := rows.Scan(&seq, &ns, &prev, &hash, &size, &data); err != nil {
			return false, corrupt("record %d: %v", seq, err)
		}
		h := hole{From: seq, Through: seq}
		if err := prev.sum(&h.Prev); err != nil {
			return false, err
		}
		if err := hash.sum(&h.Hash); err != nil {
			return false, err
		}
		if n := len(s.body.Ranges); n > 0 && s.body.Ranges[n-1].Through == seq-1 {
			s.body.Ranges[n-1].Through, s.body.Ranges[n-1].Hash = seq, h.Hash
		} else if n == thinRanges {
			return false, nil
		} else {
			s.body.Ranges = append(s.body.Ranges, h)
		}
		s.t.unshare(data)
		s.took(seq, ns)
		s.n, s.last, s.bytes = s.n+1, seq, s.bytes+size
		return s.bytes < bytes, nil
	})
}

func (s *thinning) took(seq, ns int64) {
	b, ok := s.times[block(seq)]
	if !ok {
		b = [2]int64{ns, ns}
	}
	s.times[block(seq)] = [2]int64{min(b[0], ns), max(b[1], ns)}
}

func (s *thinning) remove(ctx context.Context, now time.Time, boot string) error {
	for _, h := range s.body.Ranges {
		if _, err := s.t.c.ExecContext(ctx, "DELETE FROM record WHERE seq BETWEEN ? AND ?", h.From, h.Through); err != nil {
			return err
		}
	}
	if err := s.fixSpans(ctx); err != nil {
		return err
	}
	if s.body.Class != ClassMinor { // these were never seen first
		first, err := firstSum(ctx, s.t.c, 0)
		if err != nil {
			return err
		}
		s.body.First = &first
	}
	body, err := json.Marshal(s.body)
	if err != nil {
		return err
	}
	return s.t.say(ctx, Record{
		ID: fmt.Sprintf("thinned-%d", s.t.head.seq+1), Time: now, Boot: boot, Kind: KindThinned, Count: s.n, Body: body,
	})
}

// fixSpans finds the times anew of the blocks that lost their first or last.
func (s *thinning) fixSpans(ctx context.Context) error {
	for b, gone := range s.times {
		var lo, hi int64
		if err := s.t.c.QueryRowContext(ctx, "SELECT lo, hi FROM span WHERE block = ?", b).Scan(&lo, &hi); err != nil {
			return err
		}
		if gone[0] > lo && gone[1] < hi {
			continue
		}
		if err := s.t.fixSpan(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

func (r *Record) thinned() (*thinned, error) {
	b := &thinned{}
	if err := json.Unmarshal(r.Body, b); err != nil {
		return nil, corrupt("record %d does not say what retention removed: %v", r.Seq, err)
	}
	return b, nil
}
