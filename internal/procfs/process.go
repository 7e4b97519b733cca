package procfs

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Tick is the unit of times in /proc/PID/stat: a second has a hundred on every machine that this runs on.
const Tick = 10 * time.Millisecond

// Started gives when a process began, since boot and in whole ticks, by a line of /proc/PID/stat.
func Started(stat string) (start time.Duration, ok bool) {
	_, rest, ok := cutLast(stat, ")") // the name before it may hold anything
	fields := strings.Fields(rest)
	const startTime = 22 - 3 // of the fields after the name
	if !ok || len(fields) <= startTime {
		return 0, false
	}
	ticks, err := strconv.ParseInt(fields[startTime], 10, 64)
	if err != nil || ticks < 0 || ticks > int64(math.MaxInt64/Tick) {
		return 0, false
	}
	return time.Duration(ticks) * Tick, true
}

// StartedAt tells whether a line of /proc/PID/stat is of a process that began then.
func StartedAt(stat string, start time.Duration) bool {
	at, ok := Started(stat)
	return ok && at == start.Truncate(Tick)
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
