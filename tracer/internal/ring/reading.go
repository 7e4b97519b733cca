package ring

import (
	"fmt"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// reading is what the kernel side knows of the reader, in memory that both have (struct reader
// in bpf/ring.h), for the reason in tracer/counters.go: how far it has come, so that no more is
// told of those who may not load than it can follow (bpf/budget.h), and whether it has to be woken.
type reading struct {
	mu        sync.Mutex
	mapped    []byte
	shared    *shared // nil when closed
	unhurried bool
	taken     uint64 // the position in the ring before which all is taken
}

// shared is struct reader.
type shared struct {
	through atomic.Uint64
	waits   atomic.Uint64
}

// nobody is the position that a kernel side takes for that of a reader who is not there, or
// is in no hurry.
const nobody = math.MaxUint64

func openReading(m *ebpf.Map) (*reading, error) {
	mapped, err := unix.Mmap(m.FD(), 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map it: %w", err)
	}
	r := &reading{mapped: mapped, shared: (*shared)(unsafe.Pointer(&mapped[0]))}
	r.store(nobody)
	return r, nil
}

// hurryNot has the kernel side tell whatever its budgets allow, however far the reader is.
func (r *reading) hurryNot() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unhurried = true
}

// begin says that somebody reads from now on.
func (r *reading) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.store(r.taken)
}

// took says that all before that position is taken.
func (r *reading) took(through uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken = through
	r.store(through)
}

// leave says that nobody reads any more.
func (r *reading) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.store(nobody)
}

func (r *reading) store(position uint64) {
	if r.shared != nil && (position == nobody || !r.unhurried) {
		r.shared.through.Store(position)
	}
}

// sleeps asks to be woken for what is reserved in the ring from now on. What was before is there
// already: the caller has to look again. The store is the order of the two.
func (r *reading) sleeps() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.shared != nil {
		r.shared.waits.Store(1)
	}
}

// close is called before the map is closed, which takes the memory away.
func (r *reading) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.shared == nil {
		return nil
	}
	r.shared = nil
	return unix.Munmap(r.mapped)
}
