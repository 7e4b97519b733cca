package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/lab/guest"
)

// pulse reads what a guest sends, and tells for how long it has been waiting for that. A
// guest whose output nobody takes is not silent.
type pulse struct {
	from io.Reader

	mu    sync.Mutex
	since time.Time // when the wait began; zero while there is none
}

// newPulse waits from now on: a machine that does not even boot is silent too.
func newPulse(from io.Reader) *pulse { return &pulse{from: from, since: time.Now()} }

func (p *pulse) Read(b []byte) (int, error) {
	p.begin(time.Now())
	n, err := p.from.Read(b)
	p.begin(time.Time{})
	return n, err
}

func (p *pulse) begin(since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.since = since
}

func (p *pulse) silence() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.since.IsZero() {
		return 0
	}
	return time.Since(p.since)
}

// lastChance is how long a command that was silent for too long may still be silent after
// SIGQUIT.
const lastChance = time.Minute

// watchPulse ends a machine whose guest is silent for too long, and first has its command
// print where it waits.
func (m Machine) watchPulse(p *pulse, signals chan<- os.Signal, stop <-chan struct{}, end context.CancelCauseFunc) {
	if m.Stall == 0 {
		return
	}
	chance := min(m.Stall, lastChance)
	for asked := false; ; {
		wait := m.Stall - p.silence()
		switch {
		case wait > 0:
			asked = false
		case asked:
			end(fmt.Errorf("the guest sent nothing for %v", p.silence().Round(time.Second)))
			return
		default:
			asked = true
			wait = chance
			select {
			case signals <- syscall.SIGQUIT:
			default: // it has not booted
			}
		}
		select {
		case <-time.After(max(wait, time.Millisecond)):
		case <-stop:
			return
		}
	}
}

// passSignals sends signals to the guest's command, until stop is closed. A guest that does
// not take them shows on the other side. asked becomes true when the command was asked where
// it waits.
func passSignals(frames *guest.Writer, a, b <-chan os.Signal, stop <-chan struct{}, asked *atomic.Bool) {
	for {
		var s os.Signal
		select {
		case s = <-a:
		case s = <-b:
		case <-stop:
			return
		}
		n, ok := s.(syscall.Signal)
		if !ok || frames.WriteUint(guest.Signal, uint32(n)) != nil {
			return
		}
		asked.Store(asked.Load() || n == syscall.SIGQUIT)
	}
}
