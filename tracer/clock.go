package tracer

import (
	"time"

	"golang.org/x/sys/unix"
)

// wallClock turns a time since boot into one of the wall clock, as that clock
// stands now: a step of the clock between the event and now is in the result.
func wallClock(sinceBoot time.Duration) time.Time {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return time.Time{}
	}
	return time.Now().Add(sinceBoot - time.Duration(now.Nano())).Round(0)
}
