package service

import (
	"sync"
	"time"
)

// outlookBefore is how long before retention has to remove what is not confirmed that is told.
const outlookBefore = 24 * time.Hour

// prospect is how the journal grows while something is not confirmed.
type prospect struct {
	mu    sync.Mutex
	since time.Time // nothing more was confirmed since
	bytes int64     // how large the journal was then
	at    int64     // what was confirmed then
	told  bool
}

// left gives how long it takes until the journal is as large as it may be; false where that is not
// to be expected.
func (p *prospect) left(now time.Time, bytes, bound int64) (time.Duration, bool) {
	grown, took := bytes-p.bytes, now.Sub(p.since)
	if bound <= 0 {
		return 0, false
	}
	if bytes >= bound {
		return 0, true
	}
	if grown <= 0 || took <= 0 {
		return 0, false
	}
	seconds := float64(bound-bytes) / float64(grown) * took.Seconds()
	if seconds > (365 * 24 * time.Hour).Seconds() {
		return 0, false
	}
	return time.Duration(seconds * float64(time.Second)), true
}

// outlook tells, before it happens, that retention will remove records that are not confirmed: it
// leaves them until the journal is twice as large as it may be.
func (s *Service) outlook(c *confirmation) {
	size := s.size.Load()
	if size == nil {
		return
	}
	bound := 2 * s.settings().Journal.KeepSize << 20
	p := &c.prospect
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := c.at.Load(); at != p.at || c.d.at.Load() <= at || p.since.IsZero() {
		p.since, p.bytes, p.at, p.told = time.Now(), size.Bytes, at, false
		return
	}
	left, expected := p.left(time.Now(), size.Bytes, bound)
	if !expected || left > outlookBefore || p.told {
		return
	}
	p.told = true
	c.d.log.Warn().Msgf("nothing was confirmed for %v: if that goes on, the journal has twice its keep_mib in about %v, and retention then removes records that are not confirmed; "+
		"make its far end answer, or give the journal more room", time.Since(p.since).Round(time.Second), left.Round(time.Minute))
}

// delay gives the age of the oldest record that is not confirmed; 0 where there is none.
func (c *confirmation) delay(now time.Time) time.Duration {
	oldest := c.oldest.Load()
	if oldest == 0 {
		return 0
	}
	return max(now.Sub(time.Unix(0, oldest)), 0)
}
