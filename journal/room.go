package journal

import "sync/atomic"

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
	j.room.bytes.Store(r.Bytes)
	j.room.reserve.Store(r.Reserve)
}

// Due tells whether the journal is larger than its room, so that [Journal.Retain] has
// something to do. It asks nothing: each append and retention looks at the size. Who
// appends asks after each, and calls Retain before it appends more: so the file stays as
// large as it may be, however fast records come.
func (j *Journal) Due() bool { return j.room.due.Load() }
