package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Appended is what became of a record.
type Appended struct {
	Seq int64
	// Repeated says that a record with this ID was there already, which has this Seq.
	// Nothing was added, even if the two are different.
	Repeated bool
}

// Append adds records to the chain, all or none, and returns when they are on the disk.
// Of each it says which number it has, in order. Seq, Prev and Hash of the arguments
// are not looked at. With [ErrReserve] it refuses batches with minor records.
//
// A context that ends stops only an append that has not begun.
func (j *Journal) Append(ctx context.Context, records ...Record) ([]Appended, error) {
	var done []Appended
	err := j.fits(records)
	if err == nil {
		err = j.write(ctx, func(t *writing) (err error) {
			done, err = t.addAll(ctx, records)
			return err
		})
	}
	if err != nil {
		return nil, wrap("append to", j.path, err)
	}
	return done, nil
}

// AppendInventory adds an inventory and the modules that it found, for
// [Reader.LoadedAt]. It gives them their kinds, and the inventory its count.
func (j *Journal) AppendInventory(ctx context.Context, inventory Record, modules []Record) ([]Appended, error) {
	inventory.Kind, inventory.Count = KindInventory, int64(len(modules))
	records := append(make([]Record, 0, 1+len(modules)), inventory)
	for _, m := range modules {
		m.Kind = KindPresent
		records = append(records, m)
	}
	var done []Appended
	err := j.write(ctx, func(t *writing) (err error) {
		if done, err = t.addAll(ctx, records); err != nil {
			return err
		}
		// Its records must follow each other.
		for i, a := range done {
			if a.Repeated && !done[0].Repeated || a.Seq != done[0].Seq+int64(i) {
				return fmt.Errorf("inventory %.64q: the id %.64q is that of another record", inventory.ID, records[i].ID)
			}
		}
		return nil
	})
	if err != nil {
		return nil, wrap("append to", j.path, err)
	}
	return done, nil
}

// writing is a transaction that adds to the chain.
type writing struct {
	c      *sql.Conn
	name   string
	head   link
	insert *insertion
	more   map[Sum]int64 // by how much the shared parts are referred to more often
}

// write runs a function in a transaction, which is kept wholly or not at all.
func (j *Journal) write(ctx context.Context, fn func(*writing) error) (err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// A file system that was made read-only under an open file may take writes all the
	// same, call them flushed, and lose them: ext4 does after an emergency remount (sysrq u).
	if onReadOnly(j.path) {
		return readOnlyMeaning(unix.EROFS)
	}
	ctx = context.WithoutCancel(ctx) // what is begun has a known end
	if _, err := j.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_, undo := j.conn.ExecContext(ctx, "ROLLBACK")
			err = errors.Join(err, ignoreNoTransaction(undo))
		}
	}()
	head, err := readHead(ctx, j.conn)
	if err != nil {
		return err
	}
	if head != j.head {
		return corrupt("another program wrote to it: its chain ends with record %d, and did with %d", head.seq, j.head.seq)
	}
	t := &writing{j.conn, j.name, j.head, j.insert, map[Sum]int64{}}
	if err := fn(t); err != nil {
		return err
	}
	if err := t.keepShared(ctx); err != nil {
		return err
	}
	if t.head != j.head {
		if err := t.keepHead(ctx); err != nil {
			return err
		}
	}
	if _, err := j.conn.ExecContext(ctx, "COMMIT"); err != nil {
		return err
	}
	j.head = t.head
	_ = j.measure(ctx) // what was written is kept
	return nil
}

func (t *writing) keepHead(ctx context.Context) error {
	_, err := t.c.ExecContext(ctx, "UPDATE head SET seq = ?, hash = ?", t.head.seq, t.head.hash[:])
	return err
}

func (t *writing) addAll(ctx context.Context, records []Record) ([]Appended, error) {
	done := make([]Appended, 0, len(records))
	for i := range records {
		a, err := t.add(ctx, records[i])
		if err != nil {
			return nil, err
		}
		done = append(done, a)
	}
	return done, nil
}

// add puts a record at the end of the chain.
func (t *writing) add(ctx context.Context, r Record) (Appended, error) {
	if err := r.check(); err != nil {
		return Appended{}, err
	}
	var seq int64
	switch err := t.insert.known.QueryRowContext(ctx, r.ID).Scan(&seq); {
	case err == nil:
		return Appended{Seq: seq, Repeated: true}, nil
	case !errors.Is(err, sql.ErrNoRows):
		return Appended{}, err
	}
	k, parts, err := r.store()
	if err != nil {
		return Appended{}, err
	}
	k.Seq, k.Prev = t.head.seq+1, t.head.hash
	k.Hash = k.sum(t.name)
	if err := t.insert.record(ctx, k); err != nil {
		return Appended{}, err
	}
	if err := t.share(ctx, parts); err != nil {
		return Appended{}, err
	}
	t.head = link{k.Seq, k.Hash}
	return Appended{Seq: k.Seq}, nil
}

// insertion are the statements by which a record is added.
type insertion struct{ known, row, span, first, shared, share, count *sql.Stmt }

func prepareInsertion(ctx context.Context, c *sql.Conn) (_ *insertion, err error) {
	in := &insertion{}
	for _, s := range []struct {
		into **sql.Stmt
		text string
	}{
		{&in.known, "SELECT seq FROM record WHERE id = ?"},
		// The driver makes NULL of an empty blob.
		{&in.row, "INSERT INTO record (" + names + ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,ifnull(?, x''))"},
		{&in.span, "INSERT INTO span VALUES (?1, ?2, ?2) ON CONFLICT (block) DO UPDATE SET lo = min(lo, ?2), hi = max(hi, ?2)"},
		{&in.first, "INSERT INTO first VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"},
		{&in.shared, "SELECT 1 FROM shared WHERE sum = ?"},
		{&in.share, "INSERT INTO shared VALUES (?, 0, ?)"},
		{&in.count, "UPDATE shared SET refs = refs + ? WHERE sum = ? RETURNING refs"},
	} {
		if *s.into, err = c.PrepareContext(ctx, s.text); err != nil {
			in.close()
			return nil, err
		}
	}
	return in, nil
}

func (in *insertion) close() (err error) {
	for _, s := range []*sql.Stmt{in.known, in.row, in.span, in.first, in.shared, in.share, in.count} {
		if s != nil {
			err = errors.Join(err, s.Close())
		}
	}
	return err
}

func (in *insertion) record(ctx context.Context, r *kept) error {
	ns := r.Time.UnixNano()
	args := []any{r.Seq, ns, nil, r.Count, r.Prev[:], r.Hash[:]}
	if r.UID != nil {
		args[2] = int64(*r.UID)
	}
	for _, t := range r.texts() {
		args = append(args, *t)
	}
	if _, err := in.row.ExecContext(ctx, append(args, int64(r.Class), r.form, r.Body)...); err != nil {
		return err
	}
	if _, err := in.span.ExecContext(ctx, block(r.Seq), ns); err != nil {
		return err
	}
	for what, value := range r.shows() {
		if _, err := in.first.ExecContext(ctx, string(what), value, r.Seq, ns, r.ID); err != nil {
			return err
		}
	}
	return nil
}
