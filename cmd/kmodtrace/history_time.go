package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// parseTime reads when something was, as people say it, in the zone of now.
func parseTime(text string, now time.Time) (time.Time, error) {
	day := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	switch text {
	case "now":
		return now, nil
	case "today":
		return day, nil
	case "yesterday":
		return day.AddDate(0, 0, -1), nil
	}
	if ago, ok := parseAgo(text, now); ok {
		return ago, nil
	}
	for _, layout := range []string{"15:04", "15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), t.Second(), 0, now.Location()), nil
		}
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02 15:04", time.DateTime, "2006-01-02T15:04:05", time.RFC3339Nano} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: want one as 2026-03-01, 2026-03-01 14:00, 14:00, today, yesterday, 2h or 7d", shortText(text))
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
	return now.Add(-d), err == nil && d >= 0
}
