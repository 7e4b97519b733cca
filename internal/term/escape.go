package term

import (
	"errors"
	"io"
	"sync"
	"time"
)

// A terminal whose keys go to a guest needs a way out that the guest cannot take away. It
// is that of systemd-nspawn and machinectl.
const (
	escapeKey   = 0x1d // Ctrl-]
	escapeTimes = 3
	escapeTime  = time.Second
	// escapeKept is what is typed ahead for a guest that does not read. More is dropped:
	// the key must be seen.
	escapeKept = 64 << 10
)

// ErrEscape ends a machine at its user's wish.
var ErrEscape = errors.New("by Ctrl-] three times")

// escapeReader gives what is typed, and reads on when nobody takes it.
type escapeReader struct {
	mu   sync.Mutex
	cond *sync.Cond
	kept []byte
	err  error
}

// WatchEscape reads from a terminal, and calls end when the escape key is pressed often
// enough.
func WatchEscape(terminal io.Reader, end func()) io.Reader {
	r := newEscapeReader()
	go r.watch(terminal, end, time.Now)
	return r
}

func newEscapeReader() *escapeReader {
	r := new(escapeReader)
	r.cond = sync.NewCond(&r.mu)
	return r
}

func (r *escapeReader) watch(terminal io.Reader, end func(), now func() time.Time) {
	var pressed []time.Time
	buf := make([]byte, 4096)
	for {
		n, err := terminal.Read(buf)
		at := now()
		for _, key := range buf[:n] {
			if key != escapeKey {
				pressed = pressed[:0]
				continue
			}
			pressed = append(pressed, at)
			if from := len(pressed) - escapeTimes; from >= 0 && at.Sub(pressed[from]) <= escapeTime {
				end()
			}
			pressed = pressed[max(0, len(pressed)-escapeTimes):]
		}
		r.mu.Lock()
		r.kept = append(r.kept, buf[:min(n, escapeKept-len(r.kept))]...)
		r.err = err
		r.mu.Unlock()
		r.cond.Signal()
		if err != nil {
			return
		}
	}
}

// Read takes what was typed.
func (r *escapeReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.kept) == 0 && r.err == nil {
		r.cond.Wait()
	}
	n := copy(p, r.kept)
	r.kept = append(r.kept[:0], r.kept[n:]...)
	if n == 0 {
		return 0, r.err
	}
	return n, nil
}
