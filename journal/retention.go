package journal

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Limits say what [Journal.Retain] leaves.
type Limits struct {
	// Age is how old a record may become, of whatever class; any age if zero.
	Age time.Duration
	// Bytes is how large the file may become; any size if zero. The log beside it, some
	// megabytes mostly, is not counted.
	Bytes int64
	// KeepFrom is the number of a record that is kept whatever the limits say, with all
	// after it: what an output has not had yet. Zero: there is none.
	KeepFrom int64
}

// Removal is what retention did.
type Removal struct {
	Records int64 // how many were removed
	Thinned int64 // how many of them from between others that stay
	Through int64 // the number up to which all were removed; 0 if that was not done
	Freed   int64 // by how many bytes the file became smaller
}

// removed is the body of a retention record.
type removed struct {
	// Through, Time and Hash are of the last record that was removed: the next one has
	// Hash for its Prev.
	Through int64     `json:"through"`
	Time    time.Time `json:"time"`
	Hash    Sum       `json:"hash"`
	// Boot is that of this record, and Loaded what was loaded after it. Complete says
	// that nothing else was.
	Boot     string         `json:"boot"`
	Loaded   []LoadedModule `json:"loaded"`
	Complete bool           `json:"complete"`
	// First is a hash of what was seen first in records that were removed.
	First *Sum `json:"first"`
}

// retentionBatch is how many records one transaction removes: appends wait for it.
const retentionBatch = 10000

// Retain removes records until the limits are kept, and leaves records that say so, of
// this time and boot. Where no record is over the limits it does nothing.
//
// By age it removes the oldest, and stops at the first record that is young enough, also
// where older ones come after it because the clock was set. By size it removes first the
// minor records, wherever they are, then the normal ones, and only if that was not enough
// the oldest of all; the oldest first each time, and a tenth more than it must, so that it
// need not do it again for each record. The last record always stays. The file becomes
// smaller when much of it is free; less is used again by later records.
func (j *Journal) Retain(ctx context.Context, limits Limits, now time.Time, boot string) (Removal, error) {
	removal, err := j.retain(ctx, limits, now, boot)
	return removal, wrap("remove old records from", j.path, err)
}

func (j *Journal) retain(ctx context.Context, limits Limits, now time.Time, boot string) (done Removal, err error) {
	stop, err := j.lastToRemove(limits)
	if err != nil {
		return done, err
	}
	w := &retaining{j: j, stop: stop, now: now, boot: boot}
	if limits.Age > 0 {
		if err := w.removeOldest(ctx, w.tooOld(limits.Age)); err != nil {
			return w.done, err
		}
	}
	if limits.Bytes > 0 {
		if err := w.removeForRoom(ctx, limits.Bytes); err != nil {
			return w.done, err
		}
	}
	w.done.Freed, err = j.shrink(ctx, limits.Bytes)
	return w.done, err
}

// retaining is one call of Retain.
type retaining struct {
	j    *Journal
	stop int64 // the last record that it may remove
	now  time.Time
	boot string
	done Removal
}

// removeForRoom removes what matters least until the file is as small as it may be.
func (w *retaining) removeForRoom(ctx context.Context, limit int64) error {
	size, err := sizeOf(ctx, w.j.Reader.db)
	if err != nil || size.used() <= limit {
		return err
	}
	goal := limit / 10 * 9
	for _, class := range []Class{ClassMinor, ClassNormal} {
		if err := w.thin(ctx, class, goal); err != nil {
			return err
		}
	}
	if size, err = sizeOf(ctx, w.j.Reader.db); err != nil || size.used() <= limit {
		return err
	}
	return w.removeOldest(ctx, tooMuch(goal))
}

// removeOldest removes the records up to one that fn gives, which is asked again after
// each batch, until it gives one that is before the oldest.
func (w *retaining) removeOldest(ctx context.Context, fn func(ctx context.Context, t *writing, front int64) (int64, error)) error {
	for more := true; more; {
		err := w.j.write(ctx, func(t *writing) error {
			front, err := frontOf(ctx, t.c)
			if err != nil {
				return err
			}
			cut, err := fn(ctx, t, front)
			if err != nil {
				return err
			}
			cut = min(cut, w.stop, front+retentionBatch-1)
			if cut, err = outsideInventory(ctx, t.c, front, cut, w.stop); err != nil || cut < front {
				more = false
				return err
			}
			if cut, err = lastUpTo(ctx, t.c, cut); err != nil {
				return err
			}
			n, err := t.removeThrough(ctx, cut, w.now, w.boot)
			w.done.Records, w.done.Through = w.done.Records+n, cut
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// lastUpTo gives the last record that is there up to a number.
func lastUpTo(ctx context.Context, q querier, seq int64) (int64, error) {
	var last sql.NullInt64
	err := q.QueryRowContext(ctx, "SELECT max(seq) FROM record NOT INDEXED WHERE seq <= ?", seq).Scan(&last)
	return last.Int64, err
}

// lastToRemove bounds what one call removes: it ends, however small the limits are.
func (j *Journal) lastToRemove(limits Limits) (int64, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	stop := j.head.seq - 1
	if limits.KeepFrom > 0 {
		stop = min(stop, limits.KeepFrom-1)
	}
	return stop, nil
}

// frontOf gives the number of the oldest record.
func frontOf(ctx context.Context, q querier) (int64, error) {
	var front sql.NullInt64
	err := q.QueryRowContext(ctx, "SELECT min(seq) FROM record").Scan(&front)
	return front.Int64, err
}

// tooOld gives the last record that is older than it may be.
func (w *retaining) tooOld(age time.Duration) func(context.Context, *writing, int64) (int64, error) {
	return func(ctx context.Context, t *writing, _ int64) (int64, error) {
		young, err := firstSince(ctx, t.c, w.now.Add(-age))
		return young - 1, err
	}
}

// tooMuch gives the last of as many records as make the file larger than it is to be.
func tooMuch(goal int64) func(context.Context, *writing, int64) (int64, error) {
	return func(ctx context.Context, t *writing, front int64) (int64, error) {
		size, err := sizeOf(ctx, t.c)
		if err != nil || size.used() <= goal {
			return front - 1, err
		}
		var records int64
		if err := t.c.QueryRowContext(ctx, "SELECT count(*) FROM record").Scan(&records); err != nil {
			return 0, err
		}
		// As if all were of one size, and some more: what that misses takes another round,
		// and leaves another record.
		share := float64(size.used()-goal)/float64(size.used()) + 0.02
		n := min(int64(share*float64(records)), retentionBatch)
		var cut int64
		err = t.c.QueryRowContext(ctx, "SELECT seq FROM record NOT INDEXED ORDER BY seq LIMIT 1 OFFSET ?", n).Scan(&cut)
		if errors.Is(err, sql.ErrNoRows) {
			return t.head.seq, nil
		}
		return cut, err
	}
}

// firstSince gives the number of the first record that is not before a time; one after
// the last if all are.
func firstSince(ctx context.Context, q querier, since time.Time) (int64, error) {
	seqs, any, err := seqsBetween(ctx, q, since, time.Time{})
	if err != nil {
		return 0, err
	}
	var seq sql.NullInt64
	if any {
		err = q.QueryRowContext(ctx, "SELECT seq FROM record NOT INDEXED WHERE seq >= ? AND time >= ? ORDER BY seq LIMIT 1",
			seqs.first, nanos(since, 0)).Scan(&seq)
	}
	if seq.Valid || err != nil && !errors.Is(err, sql.ErrNoRows) {
		return seq.Int64, err
	}
	head, err := readHead(ctx, q)
	return head.seq + 1, err
}

// outsideInventory moves a cut that is inside an inventory before it, and behind it where
// nothing is before: half an inventory would be taken for a whole one.
func outsideInventory(ctx context.Context, q querier, front, cut, stop int64) (int64, error) {
	var seq, count int64
	err := q.QueryRowContext(ctx, "SELECT seq, count FROM record WHERE kind = ? AND seq <= ? ORDER BY seq DESC LIMIT 1",
		string(KindInventory), cut).Scan(&seq, &count)
	if errors.Is(err, sql.ErrNoRows) {
		return cut, nil
	}
	if err != nil || seq+count <= cut {
		return cut, err
	}
	if seq > front {
		return seq - 1, nil
	}
	if seq+count > stop {
		return front - 1, nil
	}
	return seq + count, nil
}

// removeThrough removes the records up to one that is there, and appends the one that
// says so. It tells how many there were.
func (t *writing) removeThrough(ctx context.Context, cut int64, now time.Time, boot string) (int64, error) {
	body, err := t.describe(ctx, cut)
	if err != nil {
		return 0, err
	}
	err = each(ctx, t.c, "SELECT "+bounded("body", MaxBody)+" FROM record NOT INDEXED WHERE seq <= ? AND form = 1", []any{cut}, func(rows *sql.Rows) (bool, error) {
		var data blob
		err := rows.Scan(&data)
		t.unshare(data)
		return true, err
	})
	if err != nil {
		return 0, err
	}
	gone, err := t.c.ExecContext(ctx, "DELETE FROM record WHERE seq <= ?", cut)
	if err != nil {
		return 0, err
	}
	n, err := gone.RowsAffected()
	if err != nil {
		return 0, err
	}
	if err := t.cutSpans(ctx, cut+1); err != nil {
		return 0, err
	}
	return n, t.say(ctx, Record{
		ID: fmt.Sprintf("retention-%d", cut), Time: now, Boot: boot, Kind: KindRetention, Count: n, Body: body,
	})
}

// say appends a record of what retention did.
func (t *writing) say(ctx context.Context, r Record) error {
	said, err := t.add(ctx, r)
	if err == nil && said.Repeated {
		err = fmt.Errorf("the id of its retention record is that of record %d", said.Seq)
	}
	return err
}

// cutSpans removes the times of what is before a record.
func (t *writing) cutSpans(ctx context.Context, front int64) error {
	b := block(front)
	if _, err := t.c.ExecContext(ctx, "DELETE FROM span WHERE block < ?", b); err != nil {
		return err
	}
	return t.fixSpan(ctx, b)
}

// fixSpan finds the times of a block anew, or that there are none any more.
func (t *writing) fixSpan(ctx context.Context, b int64) error {
	var lo, hi sql.NullInt64
	err := t.c.QueryRowContext(ctx, "SELECT min(time), max(time) FROM record NOT INDEXED WHERE seq BETWEEN ? AND ?",
		b*blockSize, b*blockSize+blockSize-1).Scan(&lo, &hi)
	if err != nil {
		return err
	}
	if !lo.Valid {
		_, err = t.c.ExecContext(ctx, "DELETE FROM span WHERE block = ?", b)
		return err
	}
	_, err = t.c.ExecContext(ctx, "UPDATE span SET lo = ?, hi = ? WHERE block = ?", lo.Int64, hi.Int64, b)
	return err
}

func (t *writing) describe(ctx context.Context, cut int64) ([]byte, error) {
	last, err := one(t.c.QueryContext(ctx, "SELECT "+columns+" FROM record WHERE seq = ?", cut))
	if err != nil {
		return nil, err
	}
	b := removed{Through: cut, Time: last.Time.UTC(), Hash: last.Hash, Boot: last.Boot}
	state, err := stateAt(ctx, t.c, moment{boot: last.Boot, stretch: seqRange{cut + 1, cut}})
	if err != nil {
		return nil, err
	}
	b.Loaded, b.Complete = state.modules, state.complete
	first, err := firstSum(ctx, t.c, cut)
	if err != nil {
		return nil, err
	}
	b.First = &first
	return json.Marshal(b)
}

// firstSum is a hash over what was seen first in the records up to a number, and in those
// that are not there.
func firstSum(ctx context.Context, q querier, through int64) (sum Sum, err error) {
	h := sha256.New()
	var b []byte
	err = each(ctx, q, "SELECT what, "+bounded("value", MaxText)+", seq, time, "+bounded("id", MaxText)+` FROM first NOT INDEXED
		WHERE seq <= ? OR NOT EXISTS (SELECT 1 FROM record r WHERE r.seq = first.seq) ORDER BY what, value`, []any{through},
		func(rows *sql.Rows) (bool, error) {
			var what, value, id text
			var seq, ns int64
			if err := rows.Scan(&what, &value, &seq, &ns, &id); err != nil {
				return false, corrupt("what was seen first: %v", err)
			}
			b = b[:0]
			for _, t := range []text{what, value, id} {
				b = append(binary.BigEndian.AppendUint64(b, uint64(len(t))), t...)
			}
			b = binary.BigEndian.AppendUint64(b, uint64(seq))
			h.Write(binary.BigEndian.AppendUint64(b, uint64(ns)))
			return true, nil
		})
	return Sum(h.Sum(nil)), err
}

// lastRemoved gives what the last record says of the oldest that were removed; nil where
// there is none.
func lastRemoved(ctx context.Context, q querier, through int64) (*removed, error) {
	r, err := one(q.QueryContext(ctx, "SELECT "+columns+" FROM record WHERE kind = ? AND seq <= ? ORDER BY seq DESC LIMIT 1", string(KindRetention), through))
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return r.removed()
}

func (r *Record) removed() (*removed, error) {
	b := &removed{}
	if err := json.Unmarshal(r.Body, b); err != nil {
		return nil, corrupt("record %d does not say what retention removed: %v", r.Seq, err)
	}
	return b, nil
}
