package journal

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
)

// Limits say what [Journal.Retain] leaves.
type Limits struct {
	// Age is how old a record may become; any age if zero.
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
	Through int64 // the number of the last of them; 0 if none was
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
	First Sum `json:"first"`
}

// retentionBatch is how many records one transaction removes: appends wait for it.
const retentionBatch = 10000

// Retain removes the oldest records until the limits are kept, and leaves a record that
// says so, of this time and boot. Where no record is over the limits it does nothing.
//
// By age it stops at the first record that is young enough, also where older ones come
// after it because the clock was set. The last record always stays. By size it removes
// a tenth more than it must, so that it need not do it again for each record. The file
// becomes smaller when much of it is free; less is used again by later records.
func (j *Journal) Retain(ctx context.Context, limits Limits, now time.Time, boot string) (Removal, error) {
	removal, err := j.retain(ctx, limits, now, boot)
	return removal, wrap("remove old records from", j.path, err)
}

func (j *Journal) retain(ctx context.Context, limits Limits, now time.Time, boot string) (done Removal, err error) {
	stop, err := j.lastToRemove(limits)
	if err != nil {
		return done, err
	}
	goal := int64(math.MaxInt64) // until the size is over the limit once
	for more := true; more; {
		err := j.write(ctx, func(t *writing) error {
			front, err := frontOf(ctx, t.c)
			if err != nil {
				return err
			}
			cut, err := t.cut(ctx, limits, &goal, front, now)
			if err != nil {
				return err
			}
			cut = min(cut, stop, front+retentionBatch-1)
			if cut, err = outsideInventory(ctx, t.c, front, cut, stop); err != nil || cut < front {
				more = false
				return err
			}
			done.Records, done.Through = done.Records+cut-front+1, cut
			return t.removeThrough(ctx, front, cut, now, boot)
		})
		if err != nil {
			return done, err
		}
	}
	done.Freed, err = j.shrink(ctx, limits.Bytes)
	return done, err
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

// cut gives the last record that is over the limits; one before front if none is.
func (t *writing) cut(ctx context.Context, limits Limits, goal *int64, front int64, now time.Time) (int64, error) {
	cut := front - 1
	if limits.Age > 0 {
		young, err := firstSince(ctx, t.c, now.Add(-limits.Age))
		if err != nil {
			return 0, err
		}
		cut = young - 1
	}
	if limits.Bytes > 0 {
		size, err := sizeOf(ctx, t.c)
		if err != nil {
			return 0, err
		}
		if size.used() > limits.Bytes {
			*goal = limits.Bytes / 10 * 9
		}
		if size.used() > *goal {
			// As if all were of one size, and some more: what that misses takes another round,
			// and leaves another record.
			share := float64(size.used()-*goal)/float64(size.used()) + 0.02
			cut = max(cut, front+int64(share*float64(t.head.seq-front+1)))
		}
	}
	return cut, nil
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

// removeThrough removes the records from front to cut, and appends the one that says so.
func (t *writing) removeThrough(ctx context.Context, front, cut int64, now time.Time, boot string) error {
	body, err := t.describe(ctx, cut)
	if err != nil {
		return err
	}
	if _, err := t.c.ExecContext(ctx, "DELETE FROM record WHERE seq <= ?", cut); err != nil {
		return err
	}
	if err := t.cutSpans(ctx, cut+1); err != nil {
		return err
	}
	said, err := t.add(ctx, Record{
		ID: fmt.Sprintf("retention-%d", cut), Time: now, Boot: boot, Kind: KindRetention, Count: cut - front + 1, Body: body,
	})
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
	_, err := t.c.ExecContext(ctx, "UPDATE span SET (lo, hi) = (SELECT min(time), max(time) FROM record NOT INDEXED WHERE seq < ?) WHERE block = ?",
		(b+1)*blockSize, b)
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
	if b.First, err = firstSum(ctx, t.c, cut); err != nil {
		return nil, err
	}
	return json.Marshal(b)
}

// firstSum is a hash over what was seen first in the records up to a number.
func firstSum(ctx context.Context, q querier, through int64) (sum Sum, err error) {
	h := sha256.New()
	var b []byte
	err = each(ctx, q, "SELECT what, value, seq, time, id FROM first NOT INDEXED WHERE seq <= ? ORDER BY what, value", []any{through},
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

// lastRemoved gives what the last retention record says; nil where there is none.
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
