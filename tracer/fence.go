package tracer

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// ErrRingFull is why [Tracer.Fence] made none: it may be tried again when some of the ring is read.
var ErrRingFull = errors.New("the ring of events is full")

// kindFence marks what is no event: no hook reports it, and nobody who iterates gets it.
const kindFence = bpfKindKIND_FENCE

// fences are the marks in the ring to which the iteration has not come yet.
type fences struct {
	mu      sync.Mutex
	last    ID
	waiting map[ID]chan<- Thread
}

// Fence puts a mark behind all events that are in the ring. When the iteration comes to it, which is
// after all that these events finished was yielded, the channel gets the calling thread as the
// kernel calls it: with the numbers of the first pid namespace. What is deferred is not finished. The
// mark is in this Tracer's ring only: nobody else sees an event or a system call for modules.
func (t *Tracer) Fence() (<-chan Thread, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, errors.New("fence: the tracer is closed")
	}
	program, err := t.hooks.Own()
	if err != nil {
		return nil, fmt.Errorf("fence: %w", err)
	}
	passed := make(chan Thread, 1)
	t.fences.mu.Lock()
	defer t.fences.mu.Unlock()
	t.fences.last++
	result, err := program.Run(&ebpf.RunOptions{Context: uint64(t.fences.last)})
	switch {
	case err != nil:
		return nil, fmt.Errorf("fence: %w", err)
	case unix.Errno(result) == unix.ENOSPC:
		return nil, fmt.Errorf("fence: %w", ErrRingFull)
	}
	if t.fences.waiting == nil {
		t.fences.waiting = make(map[ID]chan<- Thread)
	}
	t.fences.waiting[t.fences.last] = passed
	return passed, nil
}

// pass tells who waits for a fence that the iteration has come to it. Nobody does where another
// process ran the program.
func (f *fences) pass(e *Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if passed := f.waiting[e.Attempt]; passed != nil {
		passed <- e.Thread
		delete(f.waiting, e.Attempt)
	}
}
