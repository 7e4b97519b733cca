package ring

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"testing"
)

// writtenRing is a ring as the kernel writes it, without the kernel: see
// __bpf_ringbuf_reserve and bpf_ringbuf_commit (kernel/bpf/ringbuf.c, Linux 6.12).
type writtenRing struct{ *ring }

func newWrittenRing(size int) writtenRing {
	return writtenRing{&ring{size: uint64(size), consumer: make([]byte, 8), producer: make([]byte, 8), data: make([]byte, size)}}
}

// write puts a record behind the last one, and gives where its header is.
func (w writtenRing) write(record []byte, flags uint32) (header uint64) {
	header = w.offset(w.written().Load())
	binary.NativeEndian.PutUint32(w.data[header:], uint32(len(record))|flags)
	for i, c := range record {
		w.data[w.offset(header+recordHeader+uint64(i))] = c
	}
	w.written().Add(recordHeader + (uint64(len(record))+7)&^7)
	return header
}

// room is what the kernel would still give out.
func (w writtenRing) room() uint64 {
	return w.size - (w.written().Load() - w.position().Load())
}

// TestRingTake: records of all sizes come out as they went in, also those that wrap round,
// and those that the kernel discarded do not; each with its place. What was read is room again.
func TestRingTake(t *testing.T) {
	w := newWrittenRing(8192)
	random := rand.New(rand.NewPCG(3, 4))
	wrapped := 0
	for i, record := range variousRecords(2000) {
		var want batch
		for range 1 + random.IntN(3) {
			if w.room() < uint64(len(record))+2*recordHeader+8 {
				break
			}
			if begin := w.offset(w.written().Load()) + recordHeader; begin < w.size && begin+uint64(len(record)) > w.size {
				wrapped++
			}
			w.write(record, 0)
			want.add(w.written().Load(), record, nil)
			w.write([]byte("discarded"), recordDiscarded)
		}
		var got batch
		if err := w.take(&got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.framed, want.framed) {
			t.Fatalf("record %d: %d bytes; want %d", i, len(got.framed), len(want.framed))
		}
		if w.room() != w.size || w.state() != empty {
			t.Fatalf("record %d: %d bytes are room, state %d", i, w.room(), w.state())
		}
	}
	if wrapped < 10 {
		t.Errorf("%d records wrapped round", wrapped)
	}
}

// TestRingBusy: what is not complete is waited for, and so is what comes behind it.
func TestRingBusy(t *testing.T) {
	w := newWrittenRing(4096)
	var first, others batch
	w.write([]byte("first"), 0)
	first.add(w.written().Load(), []byte("first"), nil)
	second := w.write([]byte("second"), recordBusy)
	others.add(w.written().Load(), []byte("second"), nil)
	w.write([]byte("third"), 0)
	others.add(w.written().Load(), []byte("third"), nil)
	var got batch
	if err := w.take(&got); err != nil || !bytes.Equal(got.framed, first.framed) {
		t.Fatalf("%q, %v", got.framed, err)
	}
	if s := w.state(); s != busy {
		t.Errorf("state %d for a record that is not complete", s)
	}
	binary.NativeEndian.PutUint32(w.data[second:], uint32(len("second")))
	if s := w.state(); s != ready {
		t.Errorf("state %d for one that is", s)
	}
	got.reset()
	if err := w.take(&got); err != nil || !bytes.Equal(got.framed, others.framed) {
		t.Fatalf("%q, %v", got.framed, err)
	}
}

// TestRingBatch: more than a batch stays where it is.
func TestRingBatch(t *testing.T) {
	w := newWrittenRing(4 * batchSize)
	record := make([]byte, 1000)
	for w.room() > 2000 {
		w.write(record, 0)
	}
	var got batch
	if err := w.take(&got); err != nil || len(got.framed) < batchSize || len(got.framed) > batchSize+len(record)+frameSize {
		t.Errorf("%d bytes, %v", len(got.framed), err)
	}
	if w.state() != ready {
		t.Error("nothing is left")
	}
}

// TestRingBroken: a length that cannot be is an error, and does not end the process.
func TestRingBroken(t *testing.T) {
	w := newWrittenRing(4096)
	header := w.write([]byte("broken"), 0)
	binary.NativeEndian.PutUint32(w.data[header:], 5000)
	var got batch
	if err := w.take(&got); err == nil || len(got.framed) > 0 {
		t.Errorf("%q, %v", got.framed, err)
	}
	if err := w.unmapped().take(&got); !errors.Is(err, os.ErrClosed) {
		t.Errorf("of a closed ring: %v", err)
	}
}

// unmapped is what close leaves.
func (w writtenRing) unmapped() *ring { return &ring{closed: true} }
