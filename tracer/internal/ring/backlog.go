package ring

import (
	"bytes"
	"encoding/binary"
	"io"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

// backlog holds the records that were taken out of the kernel's ring and that nobody has
// asked for yet. The ring is small, and events are lost when it is full: whoever explains
// and writes down what happened may take long for it, as long as the ring is emptied
// meanwhile. The records of a storm are much alike: what has to wait is compressed.
//
// One goroutine adds, another one takes.
type backlog struct {
	limit int

	mu       sync.Mutex
	encoder  *zstd.Encoder
	decoder  *zstd.Decoder
	open     []byte   // the block that is being filled
	squeezed []byte   // room to compress one in
	packed   [][]byte // blocks that were full, compressed, oldest first
	stored   int      // bytes of these
	left     bool     // the taker has gone
	ended    bool     // the adder has

	more chan struct{} // tells the taker that there may be something
	room chan struct{} // tells the adder that there may be room

	taken  []byte // the block that is being taken
	rest   []byte // what of it is left
	record []byte // see take
	place  uint64 // where in the ring that one ended
}

const (
	// defaultBacklog is enough for some tens of thousands of actions: for a minute of a
	// thousand refusals a second, where a reader can explain half as many.
	defaultBacklog = 16 << 20
	// blockSize is the size of a block before it is compressed: of a larger one not much
	// less would be left, and there are two or three of them.
	blockSize = 256 << 10
	// frameSize is that of what is before each record: its length, and the position in the
	// ring where it ended.
	frameSize = 4 + 8
)

func newBacklog(limit int) *backlog {
	if limit == 0 {
		limit = defaultBacklog
	}
	b := &backlog{limit: limit, more: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	// Neither errs but for options that cannot be. Both take memory when they are used.
	b.encoder, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(blockSize), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
	b.decoder, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	return b
}

// add keeps records. It waits while there is no room and somebody takes: what happens then
// stays in the ring, and is counted by the kernel where that has no room either.
func (b *backlog) add(records *batch) {
	if len(records.framed) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.stored >= b.limit && !b.left {
		b.mu.Unlock()
		<-b.room
		b.mu.Lock()
	}
	b.open = append(b.open, records.framed...)
	if len(b.open) >= blockSize {
		b.squeezed = b.encoder.EncodeAll(b.open, b.squeezed[:0])
		b.packed = append(b.packed, bytes.Clone(b.squeezed))
		b.stored += len(b.squeezed)
		b.open = b.open[:0]
	}
	b.tell()
}

// tell wakes the taker, if it waits.
func (b *backlog) tell() { notify(b.more) }

// notify wakes whoever waits at the channel, now or next.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// begin is called before the adder and the taker are.
func (b *backlog) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left, b.ended = false, false
}

// leave is called when nothing more will be taken.
func (b *backlog) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = true
	notify(b.room)
}

// wanted tells whether anything more will be taken.
func (b *backlog) wanted() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.left
}

// end is called when nothing more will be added.
func (b *backlog) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.tell()
}

// take gives the oldest record, which is valid until the next call, and its buffer's
// capacity may be written to; place is where in the ring it ended. It waits for one: until the deadline, when it errs with
// [ErrIdle]; zero is none. The error is io.EOF when the adder has ended.
func (b *backlog) take(deadline func() time.Time) ([]byte, error) {
	for len(b.rest) == 0 {
		ended, err := b.refill()
		switch {
		case err != nil:
			return nil, err
		case len(b.rest) > 0:
		case ended:
			return nil, io.EOF
		case !b.wait(deadline()):
			return nil, ErrIdle
		}
	}
	size := binary.NativeEndian.Uint32(b.rest)
	b.place = binary.NativeEndian.Uint64(b.rest[4:])
	b.rest = b.rest[frameSize:]
	b.record = append(b.record[:0], b.rest[:size]...)
	b.rest = b.rest[size:]
	return b.record, nil
}

// refill gets the next block, if there is one.
func (b *backlog) refill() (ended bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.packed) == 0 {
		b.taken, b.open = b.open, b.taken[:0]
		b.rest = b.taken
		return b.ended, nil
	}
	block := b.packed[0]
	b.packed[0] = nil
	b.packed = b.packed[1:]
	b.stored -= len(block)
	notify(b.room)
	b.taken, err = b.decoder.DecodeAll(block, b.taken[:0])
	b.rest = b.taken
	return b.ended, err
}

// size is what it holds, in bytes of memory.
func (b *backlog) size() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stored + len(b.open)
}

// empty tells whether all that was added is taken. The taker asks.
func (b *backlog) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.open) == 0 && len(b.packed) == 0 && len(b.rest) == 0
}

// wait tells whether there may be something to take before the deadline.
func (b *backlog) wait(deadline time.Time) bool {
	if deadline.IsZero() {
		<-b.more
		return true
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-b.more:
		return true
	case <-timer.C:
		return false
	}
}
