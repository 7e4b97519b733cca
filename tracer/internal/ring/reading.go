package ring

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/cilium/ebpf"
)

// reading tells the kernel side how far the reader has come, so that it tells no more of
// those who may not load than the reader can follow (bpf/budget.h). It is written in memory
// that both have, for the reason in tracer/counters.go.
type reading struct {
	mu      sync.Mutex
	memory  io.WriterAt // nil when closed
	through uint64      // the position in the ring before which all is taken
}

// nobody is the position that a kernel side takes for that of a reader who is not there, or
// is in no hurry.
const nobody = math.MaxUint64

func openReading(m *ebpf.Map) (*reading, error) {
	memory, err := m.Memory()
	if err != nil {
		return nil, err
	}
	r := &reading{memory: memory}
	return r, r.write(nobody)
}

// begin says that somebody reads from now on.
func (r *reading) begin() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.write(r.through)
}

// took says that all before that position is taken.
func (r *reading) took(through uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.through = through
	return r.write(through)
}

// leave says that nobody reads any more.
func (r *reading) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.write(nobody) // it was written before
}

// write stores in one access: a copy of eight aligned bytes is one.
func (r *reading) write(position uint64) error {
	if r.memory == nil {
		return nil
	}
	var bytes [8]byte
	binary.NativeEndian.PutUint64(bytes[:], position)
	if _, err := r.memory.WriteAt(bytes[:], 0); err != nil {
		return fmt.Errorf("report how far the ring is read: %w", err)
	}
	return nil
}

// close is called before the map is closed, which takes the memory away.
func (r *reading) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.memory = nil
}
