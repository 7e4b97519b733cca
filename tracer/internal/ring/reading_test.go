package ring

import (
	"encoding/binary"
	"testing"
)

// sharedMemory is what the kernel side reads.
type sharedMemory []byte

func (m sharedMemory) WriteAt(bytes []byte, at int64) (int, error) { return copy(m[at:], bytes), nil }

// TestReading: the kernel side knows how far the reader is, also when another one goes on
// there, and that nobody reads.
func TestReading(t *testing.T) {
	memory := make(sharedMemory, 8)
	r := &reading{memory: memory}
	for i, step := range []struct {
		do   func() error
		want uint64
	}{
		{r.begin, 0},
		{func() error { return r.took(40) }, 40},
		{func() error { r.leave(); return nil }, nobody},
		{r.begin, 40},
		{func() error { return r.took(48) }, 48},
		{func() error { r.close(); return nil }, 48},
		{func() error { return r.took(56) }, 48}, // the memory is not there any more
		{func() error { r.leave(); return nil }, 48},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if got := binary.NativeEndian.Uint64(memory); got != step.want {
			t.Errorf("step %d: %d, want %d", i, got, step.want)
		}
	}
}
