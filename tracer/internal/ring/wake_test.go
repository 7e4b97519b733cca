package ring

import (
	"context"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/await"
)

// wakingRing is a ring whose kernel side wakes the reader as wake in bpf/ring.h does, by a byte in a pipe.
type wakingRing struct {
	*Reader
	written writtenRing
	shared  *shared
	bell    *os.File
}

func newWakingRing(t *testing.T) *wakingRing {
	t.Helper()
	file, bell, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w := &wakingRing{written: newWrittenRing(1 << 16), shared: new(shared), bell: bell}
	r := w.written.ring
	r.file, r.reading = file, &reading{shared: w.shared}
	if r.conn, err = file.SyscallConn(); err != nil {
		t.Fatal(err)
	}
	w.Reader = &Reader{ring: r, reading: r.reading, backlog: newBacklog(0)}
	t.Cleanup(func() { bell.Close() })
	return w
}

// event writes a record, and wakes the reader if it sleeps. Unheard, epoll finds the ring empty when it looks, because somebody
// else has taken the record, and wakes nobody.
func (w *wakingRing) event(t *testing.T, text string, heard bool) {
	t.Helper()
	w.written.write([]byte(text), 0)
	if w.shared.waits.Swap(0) == 1 && heard {
		if _, err := w.bell.Write([]byte{0}); err != nil {
			t.Error(err)
		}
	}
}

// TestWake: records come also after one whose wake found the ring empty, because the iteration had taken it itself.
func TestWake(t *testing.T) {
	w := newWakingRing(t)
	var underWay atomic.Bool // then the iteration looks at the ring by itself
	deadline := func() time.Time {
		if underWay.Load() {
			return time.Now().Add(time.Millisecond)
		}
		return time.Time{}
	}
	got := make(chan string, 10)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for record, err := range w.Records(ctx, deadline) {
			if err == nil {
				got <- string(record)
			}
		}
	}()
	expect := func(want string) {
		t.Helper()
		if text := await.Receive(t, want, got); text != want {
			t.Errorf("%q, want %q", text, want)
		}
	}
	sleeps := func() {
		t.Helper()
		await.Until(t, "the reader sleeps", func() bool { return w.shared.waits.Load() == 1 })
	}
	for range 100 {
		sleeps()
		underWay.Store(true)
		w.event(t, "begins", true)
		expect("begins")
		sleeps()
		w.event(t, "goes on", false)
		expect("goes on")
		underWay.Store(false)
		sleeps()
		w.event(t, "ends", true)
		expect("ends")
	}
	stop()
	await.Receive(t, "the end of the iteration", ended)
}
