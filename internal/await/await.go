// Package await is how tests wait for what another process or goroutine does.
//
// A test waits for the thing itself, not for some time: how long that takes depends on
// the machine and on what else it does. A wait here ends after [Bound], so that a
// test that waits in vain still names what it waited for. A deadline that is itself
// what a test is about does not belong here.
package await

import (
	"testing"
	"time"
)

// Bound is how long a test waits for something that usually takes a moment. It is far more
// than a busy machine needs, and less than the silence at which scripts/gotest and
// kmodtrace lab exec end a test.
const Bound = 10 * time.Minute

const pause = 10 * time.Millisecond

// True waits until something is so, and says whether it came to that.
func True(is func() bool) bool {
	for end := time.Now().Add(Bound); !is(); time.Sleep(pause) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// Until waits until something is so, or ends the test.
func Until(t testing.TB, what string, is func() bool) {
	t.Helper()
	if !True(is) {
		t.Fatalf("not within %v: %s", Bound, what)
	}
}

// Receive waits for what comes out of a channel, or for its end, or ends the test.
func Receive[T any](t testing.TB, what string, from <-chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(Bound):
		t.Fatalf("not within %v: %s", Bound, what)
		panic("unreachable")
	}
}
