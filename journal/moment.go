package journal

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"time"
)

// stretch is a part of the journal in which the clock was not set, and the watching did
// not end and begin again.
type stretch struct {
	seqRange
	boot     string
	from, to time.Time // of the first and the last record
	begin    Kind      // what it began with
	beginSeq int64
	end      Kind // what ended it: KindStopped, KindClock, KindStarted of the next; empty: nothing yet
	endSeq   int64
}

// covers tells whether the watching went on at a time.
func (s *stretch) covers(at time.Time) bool {
	return !at.Before(s.from) && (s.end == "" || !at.After(s.to))
}

// momentOf finds the place of a time in the journal; nil where that is before all.
func momentOf(ctx context.Context, q querier, at time.Time) (*moment, []Doubt, error) {
	all, err := stretches(ctx, q)
	if err != nil {
		return nil, nil, err
	}
	in, before := -1, -1
	times := 0
	for i := range all {
		if all[i].covers(at) {
			in, times = i, times+1
		}
		if !all[i].from.After(at) {
			before = i
		}
	}
	var doubts []Doubt
	switch {
	case times > 1:
		doubts = []Doubt{{Reason: ClockSet, Seq: all[in].beginSeq, Time: all[in].from}}
	case times == 0 && before < 0:
		return nil, []Doubt{{Reason: NotYet}}, nil
	case times == 0:
		in = before
		d := Doubt{Reason: NotWatched, Seq: all[in].last, Time: all[in].to}
		if all[in].end == KindClock {
			d = Doubt{Reason: ClockSet, Seq: all[in].endSeq, Time: all[in].to}
		}
		doubts = []Doubt{d}
	}
	m := &moment{boot: all[in].boot, stretch: all[in].seqRange, until: nanos(at, math.MaxInt64)}
	// What is later by far need not be looked at.
	seqs, any, err := seqsBetween(ctx, q, time.Time{}, at.Add(1))
	if any {
		m.stretch.last = min(m.stretch.last, seqs.last)
	}
	return m, doubts, err
}

// stretches divides the journal. There is one for each time that the service ran and
// that the clock was set.
func stretches(ctx context.Context, q querier) ([]stretch, error) {
	head, err := readHead(ctx, q)
	if err != nil {
		return nil, err
	}
	front, err := frontOf(ctx, q)
	if err != nil || front == 0 {
		return nil, err
	}
	cut, err := lastRemoved(ctx, q, math.MaxInt64)
	if err != nil {
		return nil, err
	}
	all := []stretch{{seqRange: seqRange{first: front}, beginSeq: front}}
	open := true
	end := func(last, seq int64, by Kind) {
		if s := &all[len(all)-1]; open {
			s.last, s.end, s.endSeq = last, by, seq
		}
	}
	err = each(ctx, q, "SELECT seq, kind FROM record INDEXED BY by_kind WHERE kind IN ('started', 'stopped', 'clock') ORDER BY seq", nil,
		func(rows *sql.Rows) (bool, error) {
			var seq int64
			var kind text
			if err := rows.Scan(&seq, &kind); err != nil {
				return false, err
			}
			if Kind(kind) == KindStopped {
				end(seq, seq, KindStopped)
				open = false
				return true, nil
			}
			end(seq-1, seq, Kind(kind))
			all, open = append(all, stretch{seqRange: seqRange{first: seq}, begin: Kind(kind), beginSeq: seq}), true
			return true, nil
		})
	if err != nil {
		return nil, err
	}
	end(head.seq, 0, "")
	if all, err = timed(ctx, q, all); err != nil || cut == nil {
		return all, err
	}
	// Between the last that was removed and the first that is left, nothing happened.
	if s := &all[0]; s.begin == "" && s.boot == cut.Boot && cut.Time.Before(s.from) {
		s.from = cut.Time
	}
	return all, nil
}

// timed adds the times and boots, and drops what is empty.
func timed(ctx context.Context, q querier, all []stretch) ([]stretch, error) {
	kept := all[:0]
	for _, s := range all {
		if s.last < s.first {
			continue
		}
		var boot text
		var from, to int64
		// Retention may have removed records of it, also its last.
		err := q.QueryRowContext(ctx, `SELECT a.seq, a.boot, a.time, b.seq, b.time FROM record a, record b
			WHERE a.seq = (SELECT min(seq) FROM record NOT INDEXED WHERE seq BETWEEN ?1 AND ?2)
			AND b.seq = (SELECT max(seq) FROM record NOT INDEXED WHERE seq BETWEEN ?1 AND ?2)`, s.first, s.last).Scan(&s.first, &boot, &from, &s.last, &to)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, err
		}
		s.boot, s.from, s.to = string(boot), time.Unix(0, from), time.Unix(0, to)
		kept = append(kept, s)
	}
	return kept, nil
}
