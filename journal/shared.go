package journal

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
)

// forms of a body in the file.
const (
	formPlain  = 0
	formPacked = 1
)

// share stores the parts of a packed text that are not there yet, and counts that one
// more refers to each.
func (t *writing) share(ctx context.Context, parts []*packed) error {
	for _, p := range parts {
		if t.more[p.sum]++; t.more[p.sum] > 1 {
			continue // is there, since this transaction at the latest
		}
		var one int
		err := t.insert.shared.QueryRowContext(ctx, p.sum[:]).Scan(&one)
		if err == nil {
			continue
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if _, err := t.insert.share.ExecContext(ctx, p.sum[:], p.data); err != nil {
			return err
		}
		if err := t.share(ctx, p.parts); err != nil {
			return err
		}
	}
	return nil
}

// unshare counts that a packed text refers to its parts no more.
func (t *writing) unshare(data []byte) {
	sums, _ := partsOf(data) // what is not in order is for Verify
	for _, sum := range sums {
		t.more[sum]--
	}
}

// keepShared writes the counts, and removes what nothing refers to any more.
func (t *writing) keepShared(ctx context.Context) error {
	for len(t.more) > 0 {
		changed := t.more
		t.more = map[Sum]int64{}
		for sum, by := range changed {
			if by == 0 {
				continue
			}
			if err := t.count(ctx, sum, by); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *writing) count(ctx context.Context, sum Sum, by int64) error {
	var refs int64
	err := t.insert.count.QueryRowContext(ctx, by, sum[:]).Scan(&refs)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // for Verify
	}
	if err != nil || refs > 0 {
		return err
	}
	var data blob
	if err := t.c.QueryRowContext(ctx, "DELETE FROM shared WHERE sum = ? RETURNING value", sum[:]).Scan(&data); err != nil {
		return err
	}
	t.unshare(data)
	return nil
}

// expander puts parts back into bodies. It is for one view of the journal, and one
// goroutine.
type expander struct {
	q     querier
	known map[Sum][]byte
	size  int // of what is known
	asked int // for the body that is being expanded
}

// Limits of what an expander keeps in memory, and of how much one body may ask for: a
// forged one may name the same parts over and over.
const (
	maxKnown    = 16 << 20
	maxKnownOne = 1 << 20
	maxAsked    = 1 << 14
)

func newExpander(q querier) *expander { return &expander{q: q, known: map[Sum][]byte{}} }

// expand gives a record as it was appended.
func (e *expander) expand(ctx context.Context, k *kept) (Record, error) {
	r := k.Record
	if k.form == formPlain {
		return r, nil
	}
	e.asked = 0
	body, err := e.text(ctx, k.Body, 0)
	r.Body = body
	if errors.Is(err, errPacked) {
		err = changed("record %d: %v", k.Seq, err)
	}
	return r, err
}

// text puts the parts back into a packed text.
func (e *expander) text(ctx context.Context, data []byte, depth int) ([]byte, error) {
	n, _, err := length(data)
	if err != nil {
		return nil, err
	}
	text := make([]byte, 0, min(n, 1<<16))
	err = unpack(data, func(literal []byte, part *Sum) error {
		text = append(text, literal...)
		if part == nil {
			return nil
		}
		if depth == maxNesting {
			return errPacked
		}
		inside, err := e.part(ctx, *part, depth+1)
		if err != nil {
			return err
		}
		if text = append(text, inside...); len(text) > n {
			return errPacked
		}
		return nil
	})
	if err == nil && len(text) != n {
		err = errPacked
	}
	if err != nil {
		return nil, err
	}
	return text, nil
}

func (e *expander) part(ctx context.Context, sum Sum, depth int) ([]byte, error) {
	if text, ok := e.known[sum]; ok {
		return text, nil
	}
	if e.asked++; e.asked > maxAsked {
		return nil, errPacked
	}
	var data blob
	err := e.q.QueryRowContext(ctx, "SELECT "+bounded("value", MaxBody)+" FROM shared WHERE sum = ?", sum[:]).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) || err == nil && sha256.Sum256(data) != sum {
		return nil, errPacked
	}
	if err != nil {
		return nil, err
	}
	text, err := e.text(ctx, data, depth)
	if err != nil || len(text) > maxKnownOne {
		return text, err
	}
	if e.size += len(text) + 100; e.size > maxKnown {
		e.known, e.size = map[Sum][]byte{}, 0
	}
	e.known[sum] = text
	return text, nil
}
