package tracer

import (
	"time"

	"golang.org/x/sys/unix"
)

// SinceBoot reads the clock of events (CLOCK_BOOTTIME), which goes on in suspend.
// Zero where it cannot be read.
func SinceBoot() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0
	}
	return time.Duration(now.Nano())
}

// wallClock gives the time of day of an event's time, by the clocks as they are now.
func wallClock(event time.Duration) time.Time {
	now := SinceBoot()
	if now == 0 {
		return time.Time{}
	}
	return time.Now().Add(event - now).Round(0)
}
