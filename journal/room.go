package journal

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Room bounds what appends may take of the disk.
type Room struct {
	// Bytes is the size of which [Journal.Due] tells; none if zero.
	Bytes int64
	// Reserve is how many bytes of the file system stay free: when fewer are, Append
	// refuses batches with minor records ([ErrReserve]). None if zero.
	Reserve int64
}

// room is what is kept of it.
type room struct {
	bytes, reserve atomic.Int64
	due            atomic.Bool
}

// SetRoom bounds what appends take from now on.
func (j *Journal) SetRoom(r Room) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.room.bytes.Store(r.Bytes)
	j.room.reserve.Store(r.Reserve)
	j.room.due.Store(false)
	if !j.closed {
		_ = j.measure(context.Background()) // what is wrong, the next append finds
	}
}

// Due tells whether the journal is larger than its room, so that [Journal.Retain] has
// something to do. It asks nothing: each append and retention looks at the size. Who
// appends asks after each, and calls Retain before it appends more: so the file stays as
// large as it may be, however fast records come.
func (j *Journal) Due() bool { return j.room.due.Load() }

// measure sees whether it is larger than its room. That costs two reads of the first
// page, which is in memory.
func (j *Journal) measure(ctx context.Context) error {
	limit := j.room.bytes.Load()
	if limit <= 0 {
		return nil
	}
	size, err := sizeOf(ctx, j.conn)
	if err == nil {
		j.room.due.Store(size.used() > limit)
	}
	return err
}

// fits tells whether records may be appended with so much of the disk left.
func (j *Journal) fits(records []Record) error {
	reserve := j.room.reserve.Load()
	if reserve <= 0 {
		return nil
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(j.path, &fs); err != nil {
		return err
	}
	free := int64(fs.Bavail) * fs.Bsize //nolint:unconvert // the types differ between architectures
	if free >= reserve {
		return nil
	}
	for i := range records {
		if records[i].class() == ClassMinor {
			return fmt.Errorf("%w: %d MiB are left, of a reserve of %d MiB", ErrReserve, free>>20, reserve>>20)
		}
	}
	return nil
}
