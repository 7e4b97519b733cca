package await

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// fatalTest is a test that notes how it ended.
type fatalTest struct {
	testing.TB
	fatal bool
}

func (f *fatalTest) Helper() {}

func (f *fatalTest) Fatalf(string, ...any) {
	f.fatal = true
	runtime.Goexit()
}

func TestAwait(t *testing.T) {
	for _, c := range []struct {
		after time.Duration
		comes bool
	}{{0, true}, {Bound - time.Second, true}, {Bound + time.Second, false}} {
		for name, wait := range map[string]func(testing.TB, time.Time) bool{
			"until": func(t testing.TB, at time.Time) bool {
				Until(t, "it", func() bool { return !time.Now().Before(at) })
				return true
			},
			"receive": func(t testing.TB, at time.Time) bool {
				from := make(chan int, 1)
				time.AfterFunc(time.Until(at), func() { from <- 7 })
				return Receive(t, "it", from) == 7
			},
		} {
			synctest.Test(t, func(t *testing.T) {
				f, done, came := new(fatalTest), make(chan struct{}), false
				go func() {
					defer close(done)
					came = wait(f, time.Now().Add(c.after))
				}()
				<-done
				if came != c.comes || f.fatal == c.comes {
					t.Errorf("%s, after %v: came %t, fatal %t", name, c.after, came, f.fatal)
				}
				time.Sleep(time.Hour) // what comes too late
			})
		}
	}
}
