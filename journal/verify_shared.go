package journal

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
)

// partCheck counts what the bodies refer to.
type partCheck struct {
	refs map[short]int64
}

// short is the beginning of a sum: enough to count by, and a fourth of the memory.
type short uint64

func shortOf(s Sum) short { return short(binary.BigEndian.Uint64(s[:])) }

func (c *partCheck) record(k *kept) {
	if k.form == formPacked {
		c.count(k.Body)
	}
}

func (c *partCheck) count(data []byte) {
	if c.refs == nil {
		c.refs = map[short]int64{}
	}
	sums, _ := partsOf(data) // what cannot be read is found where it is expanded
	for _, s := range sums {
		c.refs[shortOf(s)]++
	}
}

// partsAgree looks at the parts that bodies share: each has its sum, is referred to as
// often as is kept, and is there. What uses one that is not so is named.
func (v *verifier) partsAgree(ctx context.Context) error {
	if _, old := v.q.(version1); old {
		return nil
	}
	bad := map[short]bool{}
	err := v.eachPart(ctx, func(sum Sum, data []byte, _ int64) {
		v.parts.count(data)
		if sha256.Sum256(data) != sum {
			bad[shortOf(sum)] = true
		}
	})
	if err != nil {
		return err
	}
	wrong := 0
	err = v.eachPart(ctx, func(sum Sum, _ []byte, refs int64) {
		if v.parts.refs[shortOf(sum)] != refs {
			wrong++
		}
		delete(v.parts.refs, shortOf(sum))
	})
	if err != nil {
		return err
	}
	if wrong > 0 {
		v.report.add(Derived, 0, 0, "how many refer to what bodies share is kept wrong for %d parts", wrong)
	}
	for s := range v.parts.refs {
		bad[s] = true // it is not there
	}
	return v.nameUsers(ctx, bad)
}

// eachPart calls fn for each part; data that is too long to be one comes as none.
func (v *verifier) eachPart(ctx context.Context, fn func(sum Sum, data []byte, refs int64)) error {
	return each(ctx, v.q, "SELECT "+bounded("sum", MaxText)+", "+bounded("value", MaxBody)+", refs FROM shared NOT INDEXED", nil, func(rows *sql.Rows) (bool, error) {
		var sum blob
		var value any
		var refs int64
		var is Sum
		if err := rows.Scan(&sum, &value, &refs); err != nil {
			return false, corrupt("what bodies share: %v", err)
		}
		if err := sum.sum(&is); err != nil {
			return false, err
		}
		data, _ := value.([]byte)
		fn(is, data, refs)
		return true, nil
	})
}

// nameUsers finds the records that use parts that are not what was written.
func (v *verifier) nameUsers(ctx context.Context, bad map[short]bool) error {
	if len(bad) == 0 {
		return nil
	}
	uses := func(data []byte) bool {
		sums, err := partsOf(data)
		for _, s := range sums {
			if bad[shortOf(s)] {
				return true
			}
		}
		return err != nil
	}
	for range maxNesting { // parts inside of parts
		err := v.eachPart(ctx, func(sum Sum, data []byte, _ int64) {
			if uses(data) {
				bad[shortOf(sum)] = true
			}
		})
		if err != nil {
			return err
		}
	}
	named := false
	err := each(ctx, v.q, "SELECT seq, "+bounded("body", MaxBody)+" FROM record NOT INDEXED WHERE form = 1 ORDER BY seq", nil, func(rows *sql.Rows) (bool, error) {
		var seq int64
		var data blob
		if err := rows.Scan(&seq, &data); err != nil {
			return true, nil // found before
		}
		if uses(data) {
			named = true
			v.report.add(Changed, seq, seq, "what it shares with other records is not what was written")
		}
		return true, nil
	})
	if err == nil && !named {
		v.report.add(Derived, 0, 0, "what bodies share is not what was written; no record has it")
	}
	return err
}
