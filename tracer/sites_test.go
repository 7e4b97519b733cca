package tracer

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestSitesOfTheUnprivileged: requests that anybody can have a module make do not keep the
// reader busy with the list of symbols, however long that takes; those of who may load are
// named meanwhile.
func TestSitesOfTheUnprivileged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSites()
		reads := 0
		s.read = func(*Symbols) error {
			time.Sleep(time.Second)
			reads++
			return nil
		}
		anybody := func() { s.Name(&Action{Request: &Request{Site: 0x1000, Unprivileged: true}}) }
		for range 1000 {
			anybody()
			time.Sleep(10 * time.Millisecond)
		}
		if reads != 1 {
			t.Errorf("%d readings in the first 11 s, want 1", reads)
		}
		s.Name(&Action{Request: &Request{Site: 0x1000}})
		if reads != 2 {
			t.Errorf("%d readings after a request of root, want 2", reads)
		}
		time.Sleep(unprivilegedShare * time.Second)
		anybody()
		if reads != 3 {
			t.Errorf("%d readings after a pause, want 3", reads)
		}
	})
}
