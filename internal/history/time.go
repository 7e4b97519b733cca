package history

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/cells"
)

// TimeForms are the forms that [ParseTime] reads, for people.
const TimeForms = "2026-03-01, 2026-03-01 14:00, 2026-03, 14:00, today, yesterday, now, 2h or 7d (ago), or RFC 3339"

// ParseTime reads when something was, as people say it, in the zone of now. A date alone
// is its beginning, and a time of day alone is today's. Where a clock was turned back,
// so that a time was twice, it is the first; where it was turned forward, so that it
// never was, it is as much later as the clock was turned.
func ParseTime(text string, now time.Time) (time.Time, error) {
	text = strings.TrimSpace(text)
	switch text {
	case "now":
		return now, nil
	case "today":
		return midnight(now, 0), nil
	case "yesterday":
		return midnight(now, -1), nil
	}
	if ago, ok := parseAgo(text, now); ok {
		return ago, nil
	}
	for _, layout := range []string{"15:04", "15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), t.Second(), 0, now.Location()), nil
		}
	}
	for _, layout := range []string{"2006-01", time.DateOnly, "2006-01-02 15:04", time.DateTime, "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), now.Location()), nil
		}
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("%q is not a time: must be one of %s", cells.Short(text), TimeForms)
}

// midnight begins a day, so many after that of now.
func midnight(now time.Time, days int) time.Time {
	return date(now.Year(), now.Month(), now.Day()+days, 0, 0, 0, 0, now.Location())
}

// date is time.Date, which does not say which of two times it gives, nor on which side of
// a time that never was.
func date(year int, month time.Month, day, hour, minute, second, ns int, in *time.Location) time.Time {
	t := time.Date(year, month, day, hour, minute, second, ns, in)
	if short := time.Date(year, month, day, hour, minute, second, ns, time.UTC).Sub(clockOf(t)); short > 0 {
		return t.Add(short)
	}
	for _, back := range []time.Duration{2 * time.Hour, time.Hour, 30 * time.Minute} {
		if earlier := t.Add(-back); clockOf(earlier).Equal(clockOf(t)) {
			return earlier
		}
	}
	return t
}

// clockOf is what a clock shows at a time, as if it were UTC.
func clockOf(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// parseAgo reads "2h", "-90m" and "7d" as so long before now. Days are those of the
// calendar: one of them may have 23 hours.
func parseAgo(text string, now time.Time) (time.Time, bool) {
	text = strings.TrimPrefix(text, "-")
	if number, ok := strings.CutSuffix(text, "d"); ok {
		days, err := strconv.ParseUint(number, 10, 16)
		return now.AddDate(0, 0, -int(days)), err == nil
	}
	d, err := time.ParseDuration(text)
	return now.Add(-d), err == nil && d >= 0 && !strings.HasPrefix(text, "+") && strings.TrimLeft(text, "0123456789.") != ""
}

// DateTime is a time in full, for people.
func DateTime(t time.Time) string { return t.Local().Format(time.DateTime) }
