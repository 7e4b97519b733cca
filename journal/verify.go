package journal

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"math"
)

// Verify reads the whole journal, in bounded memory, and says which records are not what
// was appended. It compares every column with the record's hash, the chain with the end
// that is kept apart from it, what is missing at the front with what retention says, and
// the indexes, outputs' cursors and other tables with the records. Anchors of this journal, if any are
// given, find what the chain itself cannot show. What it finds is in the report; an
// error says that it could not look.
func (r *Reader) Verify(ctx context.Context, anchors ...Anchor) (*Report, error) {
	report := &Report{Journal: r.name}
	err := r.inOneView(ctx, func(q querier) error {
		v := &verifier{q: q, report: report, walk: newWalk(r.name, report, anchors)}
		return v.run(ctx)
	})
	if err := r.settled("verify", err); err != nil {
		return nil, err
	}
	report.sort()
	return report, nil
}

// verifier asks the questions of which a verification consists.
type verifier struct {
	q      querier
	report *Report
	walk   *walk
	spans  spanCheck
	parts  partCheck
}

func (v *verifier) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{v.pages, v.records, v.end, v.explainMoved, v.spansAgree, v.firstAgree, v.partsAgree, v.cursorsAgree} {
		if err := v.damage(ctx, step(ctx)); err != nil {
			return err
		}
	}
	return nil
}

// damage makes a problem of an error that says that the file is damaged.
func (v *verifier) damage(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	if m := meaning(asDamage(err)); errors.Is(m, ErrCorrupt) {
		v.report.add(Damaged, 0, 0, "%v", err)
		return nil
	}
	return err
}

// pages lets SQLite compare its pages, types and indexes.
func (v *verifier) pages(ctx context.Context) error {
	return each(ctx, v.q, "PRAGMA integrity_check(20)", nil, func(rows *sql.Rows) (bool, error) {
		var line string
		if err := rows.Scan(&line); err != nil {
			return false, corrupt("%v", err)
		}
		if line != "ok" {
			v.report.add(Damaged, 0, 0, "%s", line)
		}
		return true, nil
	})
}

// maxSkips is how many unreadable places are passed over.
const maxSkips = 100

// records walks the chain. Where a place cannot be read it goes on behind it.
func (v *verifier) records(ctx context.Context) error {
	from := int64(math.MinInt64)
	for skips := 0; ; skips++ {
		err := v.recordsFrom(ctx, from)
		if err == nil {
			return nil
		}
		if !errors.Is(meaning(err), ErrCorrupt) || ctx.Err() != nil {
			return err
		}
		next, ok := v.behind(ctx, max(from, v.walk.at))
		v.report.add(Damaged, max(v.walk.at, 0)+1, max(next-1, v.walk.at+1), "the file cannot be read there: %v", err)
		if !ok || skips == maxSkips {
			return nil
		}
		from = next
	}
}

func (v *verifier) recordsFrom(ctx context.Context, from int64) error {
	var r kept
	return each(ctx, v.q, "SELECT "+columns+" FROM record NOT INDEXED WHERE seq >= ? ORDER BY seq", []any{from},
		func(rows *sql.Rows) (bool, error) {
			bad := r.scan(rows)
			if bad != nil && r.Seq == math.MinInt64 {
				return false, bad // not even its number
			}
			v.walk.step(&r, bad)
			if bad == nil {
				v.parts.record(&r)
				return true, v.spans.add(ctx, &r.Record)
			}
			return true, nil
		})
}

// behind finds a record that can be read after one that cannot.
func (v *verifier) behind(ctx context.Context, at int64) (int64, bool) {
	at = max(at, 0)
	for skip := int64(1); skip < 1<<24; skip *= 2 {
		var seq int64
		err := v.q.QueryRowContext(ctx, "SELECT seq FROM record NOT INDEXED WHERE seq > ? AND length(hash) > 0 ORDER BY seq LIMIT 1", at+skip).Scan(&seq)
		if err == nil {
			return seq, true
		}
		if errors.Is(err, sql.ErrNoRows) {
			return 0, false
		}
	}
	return 0, false
}

// end compares the end of the chain, and its front, with what is kept about them.
func (v *verifier) end(ctx context.Context) error {
	head, err := readHead(ctx, v.q)
	if err != nil {
		v.report.add(Ended, 0, 0, "the number and hash of the last record cannot be read: %v", err)
		head = v.walk.last()
	}
	var heads int
	if err := v.q.QueryRowContext(ctx, "SELECT count(*) FROM head").Scan(&heads); err == nil && heads != 1 {
		v.report.add(Ended, 0, 0, "the last record is kept %d times", heads)
	}
	v.report.Last = Anchor{Journal: v.report.Journal, Count: head.seq, Hash: head.hash}
	v.walk.finish(head)
	return nil
}

// explainMoved looks for records that changed places over a long way.
func (v *verifier) explainMoved(ctx context.Context) error {
	for _, seq := range v.walk.unexplained {
		r, err := one(v.q.QueryContext(ctx, "SELECT "+columns+" FROM record NOT INDEXED WHERE seq = ?", seq))
		from := int64(0)
		if err == nil {
			from = v.walk.among(r)
		}
		if from != 0 {
			v.report.add(Moved, seq, seq, "it was record %d", from)
		} else {
			v.report.add(Changed, seq, seq, "it does not have the hash that it was written with")
		}
	}
	return nil
}

// spanCheck compares the spans of times with the records, block by block.
type spanCheck struct {
	found map[int64][2]int64
}

// add keeps 16 bytes for every thousand records.
func (s *spanCheck) add(_ context.Context, r *Record) error {
	if s.found == nil {
		s.found = map[int64][2]int64{}
	}
	ns := r.Time.UnixNano()
	b, ok := s.found[block(r.Seq)]
	if !ok {
		b = [2]int64{ns, ns}
	}
	s.found[block(r.Seq)] = [2]int64{min(b[0], ns), max(b[1], ns)}
	return nil
}

func (v *verifier) spansAgree(ctx context.Context) error {
	wrong := func(b int64) {
		v.report.add(Derived, 0, 0, "the times of records %d to %d are kept wrong", b*blockSize, b*blockSize+blockSize-1)
	}
	err := each(ctx, v.q, "SELECT block, lo, hi FROM span", nil, func(rows *sql.Rows) (bool, error) {
		var b, lo, hi int64
		if err := rows.Scan(&b, &lo, &hi); err != nil {
			return false, corrupt("a span of times: %v", err)
		}
		is, ok := v.spans.found[b]
		delete(v.spans.found, b)
		if !ok || is != [2]int64{lo, hi} {
			wrong(b)
		}
		return true, nil
	})
	for b := range v.spans.found {
		wrong(b)
	}
	return err
}

// firstAgree compares what was seen first with the records: each entry is of its record,
// each record is no earlier than its entry, and of removed ones there is a hash.
func (v *verifier) firstAgree(ctx context.Context) error {
	for _, c := range []What{Modules, Files, Contents} {
		ask := fmt.Sprintf(`SELECT f.seq FROM first f JOIN record r ON r.seq = f.seq
			WHERE f.what = '%[1]s' AND (r.%[1]s IS NOT f.value OR r.id IS NOT f.id OR r.time IS NOT f.time OR NOT `+isShown+`)
			UNION ALL
			SELECT r.seq FROM record r NOT INDEXED WHERE r.%[1]s <> '' AND `+isShown+`
			AND NOT EXISTS (SELECT 1 FROM first f WHERE f.what = '%[1]s' AND f.value = r.%[1]s AND f.seq <= r.seq)
			LIMIT 20`, string(c))
		err := each(ctx, v.q, ask, nil, func(rows *sql.Rows) (bool, error) {
			var seq int64
			err := rows.Scan(&seq)
			v.report.add(Derived, seq, seq, "when its %s was seen first is kept wrong", c)
			return true, err
		})
		if err != nil {
			return err
		}
	}
	return v.firstOfRemoved(ctx)
}

// isShown is what [Record.shows] asks of a record.
const isShown = "(r.kind IN ('present', 'appeared') OR (r.kind = 'action' AND r.action <> 'request' AND r.class <> 1))"

func (v *verifier) firstOfRemoved(ctx context.Context) error {
	want := Sum(sha256.Sum256(nil)) // of none
	if v.walk.seen != nil {
		want = *v.walk.seen
	}
	sum, err := firstSum(ctx, v.q, 0)
	if err == nil && sum != want {
		v.report.add(Derived, 0, 0, "what was seen first in records that retention removed is not what it was then")
	}
	var other int
	if err := v.q.QueryRowContext(ctx, "SELECT count(*) FROM first WHERE what NOT IN ('module', 'file', 'content')").Scan(&other); err == nil && other > 0 {
		v.report.add(Derived, 0, 0, "%d entries of what was seen first are of unknown kinds", other)
	}
	return err
}
