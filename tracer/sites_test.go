package tracer

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestSitesOfTheUnprivileged: requests that anybody can have a module make do not keep the
// reader busy with the list of symbols, however long that takes; those of who may load are
// named meanwhile.
func TestSitesOfTheUnprivileged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const reading = 10 * time.Second
		s := NewSites()
		s.Patience = time.Second
		var reads atomic.Int64
		s.find = func(a Address) site {
			time.Sleep(reading)
			reads.Add(1)
			return site{address: a, name: "misc_open+0x84", lasting: a == 0x2000}
		}
		name := func(at Address, unprivileged bool) string {
			a := Action{Request: &Request{Site: at, Unprivileged: unprivileged}}
			s.Name(&a)
			return a.Request.Symbol
		}
		began := time.Now()
		for range 1000 {
			name(0x1000, true)
			time.Sleep(time.Millisecond)
		}
		if waited := time.Since(began) - time.Second; waited != s.Patience || reads.Load() != 0 {
			t.Errorf("1,000 requests waited %v, and caused %d readings to end", waited, reads.Load())
		}
		if got := name(0x1000, false); got != "misc_open+0x84" {
			t.Errorf("a request of root is named %q", got)
		}
		time.Sleep(reading)
		before := reads.Load()
		for range 1000 {
			name(0x1000, true)
			time.Sleep(reading / 1000)
		}
		if more := reads.Load() - before; more != 0 {
			t.Errorf("%d more readings within as long as one took", more)
		}
		time.Sleep(unprivilegedPause * reading)
		name(0x2000, true)
		time.Sleep(reading)
		if got := name(0x2000, true); got != "misc_open+0x84" {
			t.Errorf("once it was found, it is named %q", got)
		}
	})
}
