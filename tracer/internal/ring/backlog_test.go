package ring

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

func never() time.Time { return time.Time{} }

// variousRecords are of all sizes, more alike than not.
func variousRecords(n int) (all [][]byte) {
	r := rand.New(rand.NewPCG(1, 2))
	like := make([]byte, 2000)
	for range n {
		record := bytes.Clone(like[:8+8*r.IntN(len(like)/8)])
		for i := 0; i < len(record); i += 100 {
			record[i] = byte(r.Int())
		}
		all = append(all, record)
	}
	return all
}

// placeOf is where in the ring a record is said to be.
func placeOf(record []byte) uint64 { return uint64(len(record)) << 32 }

func addOne(b *backlog, record []byte) {
	var one batch
	one.add(placeOf(record), record, nil)
	b.add(&one)
}

// TestBacklog: what is added comes out as it was and in order, whoever is faster.
func TestBacklog(t *testing.T) {
	all := variousRecords(3000) // some blocks
	for name, slow := range map[string]struct{ adder, taker time.Duration }{
		"none": {}, "the adder": {adder: 10 * time.Microsecond}, "the taker": {taker: 10 * time.Microsecond},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBacklog(0)
			go func() {
				for _, record := range all {
					time.Sleep(slow.adder)
					addOne(b, record)
				}
				b.end()
			}()
			for i, want := range all {
				time.Sleep(slow.taker)
				got, err := b.take(never)
				if err != nil || !bytes.Equal(got, want) || b.place != placeOf(want) {
					t.Fatalf("record %d: %d bytes, %v, at %d; want %d bytes", i, len(got), err, b.place, len(want))
				}
			}
			if got, err := b.take(never); err != io.EOF {
				t.Errorf("after the last: %q, %v", got, err)
			}
		})
	}
}

// TestBacklogFull: the adder waits while there is no room, and goes on when there is, or
// when nobody takes any more. Nothing of what it has is lost.
func TestBacklogFull(t *testing.T) {
	for name, relieve := range map[string]func(b *backlog, taken *int){
		"taken": func(b *backlog, taken *int) {
			for ; *taken < 1000; *taken++ {
				if _, err := b.take(never); err != nil {
					t.Error(err)
				}
			}
		},
		"left": func(b *backlog, _ *int) { b.leave() },
	} {
		t.Run(name, func(t *testing.T) {
			all := variousRecords(2000)
			b := newBacklog(1) // one block
			b.begin()
			var adding sync.WaitGroup
			added := make(chan bool)
			adding.Go(func() {
				for _, record := range all {
					addOne(b, record)
				}
				b.end()
				close(added)
			})
			select {
			case <-added:
				t.Fatal("it has room for all")
			case <-time.After(100 * time.Millisecond):
			}
			taken := 0
			relieve(b, &taken)
			for ; ; taken++ {
				if _, err := b.take(never); err != nil {
					if err != io.EOF {
						t.Error(err)
					}
					break
				}
			}
			adding.Wait()
			if taken != len(all) {
				t.Errorf("%d of %d records", taken, len(all))
			}
		})
	}
}

// TestBacklogDeadline: who waits for nothing is told when the time is over.
func TestBacklogDeadline(t *testing.T) {
	b := newBacklog(0)
	if _, err := b.take(func() time.Time { return time.Now().Add(time.Millisecond) }); !errors.Is(err, ErrIdle) {
		t.Errorf("%v, want %v", err, ErrIdle)
	}
	addOne(b, []byte("there"))
	if got, err := b.take(func() time.Time { return time.Unix(1, 0) }); err != nil || string(got) != "there" {
		t.Errorf("%q, %v: it was there", got, err)
	}
}

// TestBacklogAgain: the next one to take gets what the one before has left.
func TestBacklogAgain(t *testing.T) {
	b := newBacklog(0)
	for _, text := range []string{"one", "two", "three"} {
		addOne(b, []byte(text))
	}
	for _, want := range []string{"one", "two", "three"} {
		b.begin()
		if got, err := b.take(never); err != nil || string(got) != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
		b.leave()
		b.end()
	}
}
