package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Size says how large a journal is.
type Size struct {
	First, Last int64 // the numbers of the oldest and the newest record; 0 if there is none
	Count       int64 // how many records there are: retention may have removed some between those
	Bytes       int64 // of the file
	Free        int64 // how many of them later records use again
	Log         int64 // bytes of the write-ahead log beside it
}

// Records tells how many there are.
func (s Size) Records() int64 { return s.Count }

// Size tells how large the journal is now.
func (r *Reader) Size(ctx context.Context) (Size, error) {
	var s Size
	err := r.inOneView(ctx, func(q querier) error {
		p, err := sizeOf(ctx, q)
		if err != nil {
			return err
		}
		s.Bytes, s.Free = p.pages*p.page, p.free*p.page
		head, err := readHead(ctx, q)
		if err != nil {
			return err
		}
		s.Last = head.seq
		if s.First, err = frontOf(ctx, q); err != nil {
			return err
		}
		return q.QueryRowContext(ctx, "SELECT count(*) FROM record").Scan(&s.Count)
	})
	if err == nil {
		s.Log, err = logSize(r.path)
	}
	return s, r.settled("ask", err)
}

func logSize(path string) (int64, error) {
	info, err := os.Stat(path + "-wal")
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// pageCount is the size of a database in pages.
type pageCount struct{ pages, free, page int64 }

func (p pageCount) used() int64 { return (p.pages - p.free) * p.page }

func sizeOf(ctx context.Context, q querier) (p pageCount, err error) {
	for _, ask := range []struct {
		pragma string
		into   *int64
	}{{"page_count", &p.pages}, {"freelist_count", &p.free}, {"page_size", &p.page}} {
		if err = q.QueryRowContext(ctx, "PRAGMA "+ask.pragma).Scan(ask.into); err != nil {
			return p, err
		}
	}
	return p, nil
}

// shrinkBatch is how many pages are given back at once: appends wait for it.
const shrinkBatch = 2000

// shrink gives free pages back to the file system where there are many, or where the
// file is larger than it may be (0: as large as it likes), and tells by how many bytes
// it became smaller. A tenth of what is used stays free for later records.
func (j *Journal) shrink(ctx context.Context, limit int64) (int64, error) {
	before, err := sizeOf(ctx, j.Reader.db)
	if err != nil {
		return 0, err
	}
	if before.free <= before.pages/4 && (limit <= 0 || before.pages*before.page <= limit) {
		return 0, nil
	}
	for left := before.free - (before.pages-before.free)/10; left > 0; left -= shrinkBatch {
		if err := j.giveBack(ctx, min(left, shrinkBatch)); err != nil {
			return 0, err
		}
	}
	if err := j.checkpoint(ctx); err != nil {
		return 0, err
	}
	after, err := sizeOf(ctx, j.Reader.db)
	return (before.pages - after.pages) * before.page, err
}

func (j *Journal) giveBack(ctx context.Context, pages int64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// A number in the text: a pragma takes no arguments. It gives a page for each row.
	return each(context.WithoutCancel(ctx), j.conn, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", pages), nil,
		func(*sql.Rows) (bool, error) { return true, nil })
}

// checkpoint brings the log into the file, as far as questions that are being asked
// allow.
func (j *Journal) checkpoint(ctx context.Context) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return ErrClosed
	}
	var busy, frames, done int64
	return j.conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &frames, &done)
}
