package main

import (
	"bytes"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// bootNow is what the kernel stamps events with.
func bootNow() kernelTime {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t)
	return time.Duration(t.Nano())
}

// sinceBoot takes a time of the machine's clock, which nobody sets.
func sinceBoot(t time.Time) kernelTime { return bootNow() - time.Since(t) }

// stamper remembers when each line was written to it.
type stamper struct {
	mu    sync.Mutex
	rest  []byte
	lines []stamped
}

type stamped struct {
	at   kernelTime
	line []byte
}

func (s *stamper) Write(p []byte) (int, error) {
	now := bootNow()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest = append(s.rest, p...)
	for {
		i := bytes.IndexByte(s.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		s.lines = append(s.lines, stamped{now, bytes.Clone(s.rest[:i])})
		s.rest = s.rest[i+1:]
	}
}

// delays are how long after its event each line came that tells one.
func (s *stamper) delays(event func(line []byte) (kernelTime, bool)) (all []float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lines {
		if at, ok := event(l.line); ok {
			all = append(all, (l.at - at).Seconds())
		}
	}
	return all
}
