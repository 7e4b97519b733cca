package trial

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestDeadlineFollowsTheBoot: a boot that is slow goes on for as long as its console does,
// and nothing that the console says keeps a module alive.
func TestDeadlineFollowsTheBoot(t *testing.T) {
	for name, c := range map[string]struct {
		do    func(d *deadline)
		stops time.Duration
	}{
		"nothing is said": {func(*deadline) {}, bootSilence},
		"a slow boot": {func(d *deadline) {
			for range 10 {
				time.Sleep(2 * time.Minute)
				_, _ = d.Write([]byte("[    1.0] x\n"))
			}
		}, 20*time.Minute + bootSilence},
		"a module that prints": {func(d *deadline) {
			d.within(time.Minute)
			for range 10 {
				time.Sleep(30 * time.Second)
				_, _ = d.Write([]byte("[    9.0] x\n"))
			}
		}, time.Minute},
		"steps": {func(d *deadline) {
			for range 10 {
				d.within(time.Minute)
				time.Sleep(30 * time.Second)
			}
			d.within(time.Minute)
		}, 6 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				var stopped time.Duration
				d := newDeadline(func() { stopped = time.Since(begun) })
				defer d.stop()
				c.do(d)
				time.Sleep(time.Hour)
				synctest.Wait()
				if stopped != c.stops {
					t.Errorf("stopped after %v, want %v", stopped, c.stops)
				}
			})
		})
	}
}
