package history

import (
	"strings"
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	for _, zone := range []struct {
		name, now string
		want      map[string]string
	}{
		// The clock went from 2 to 3 this night.
		{"Europe/Berlin", "2026-03-29T12:30:00+02:00", map[string]string{
			"now": "2026-03-29T12:30:00+02:00", "today": "2026-03-29T00:00:00+01:00", "yesterday": "2026-03-28T00:00:00+01:00",
			"2h": "2026-03-29T10:30:00+02:00", "-90m": "2026-03-29T11:00:00+02:00", "1h30m": "2026-03-29T11:00:00+02:00",
			"1d": "2026-03-28T12:30:00+01:00", "24h": "2026-03-28T11:30:00+01:00", "-7d": "2026-03-22T12:30:00+01:00",
			"14:05": "2026-03-29T14:05:00+02:00", "14:05:09": "2026-03-29T14:05:09+02:00", "02:30": "2026-03-29T03:30:00+02:00",
			"2026-03-01": "2026-03-01T00:00:00+01:00", "2026-04": "2026-04-01T00:00:00+02:00", "2026-03-30": "2026-03-30T00:00:00+02:00",
			"2026-03-01 14:00": "2026-03-01T14:00:00+01:00", "2026-03-01 14:00:09": "2026-03-01T14:00:09+01:00",
			"2026-03-01T14:00": "2026-03-01T14:00:00+01:00", "2026-03-01T14:00:00": "2026-03-01T14:00:00+01:00",
			"2026-03-01T14:00:00Z": "2026-03-01T14:00:00Z", "2026-03-01T14:00:00.5-08:00": "2026-03-01T14:00:00-08:00",
			" today\n": "2026-03-29T00:00:00+01:00",
		}},
		// It will go from 3 to 2: what is twice is the first of both.
		{"Europe/Berlin", "2026-10-25T12:00:00+01:00", map[string]string{
			"02:30": "2026-10-25T02:30:00+02:00", "03:30": "2026-10-25T03:30:00+01:00", "01:30": "2026-10-25T01:30:00+02:00",
			"today": "2026-10-25T00:00:00+02:00", "1d": "2026-10-24T12:00:00+02:00", "24h": "2026-10-24T13:00:00+02:00",
		}},
		// Where the clock goes by half an hour.
		{"Australia/Lord_Howe", "2026-04-05T12:00:00+10:30", map[string]string{
			"01:45": "2026-04-05T01:45:00+11:00", "02:15": "2026-04-05T02:15:00+10:30",
		}},
		// Where it goes forward at midnight: that day begins at 1.
		{"America/Sao_Paulo", "2018-11-04T12:00:00-02:00", map[string]string{
			"today": "2018-11-04T01:00:00-02:00", "yesterday": "2018-11-03T00:00:00-03:00",
		}},
		// Where it goes back at midnight: that day has one more hour at its end.
		{"America/Sao_Paulo", "2018-02-18T12:00:00-03:00", map[string]string{
			"yesterday": "2018-02-17T00:00:00-02:00", "2018-02-17 23:30": "2018-02-17T23:30:00-02:00", "today": "2018-02-18T00:00:00-03:00",
		}},
		// A day that there was not.
		{"Pacific/Apia", "2011-12-31T12:00:00+14:00", map[string]string{"yesterday": "2011-12-31T00:00:00+14:00"}},
		{"Asia/Kathmandu", "2026-01-01T00:10:00+05:45", map[string]string{
			"today": "2026-01-01T00:00:00+05:45", "yesterday": "2025-12-31T00:00:00+05:45", "1h": "2025-12-31T23:10:00+05:45",
		}},
		{"UTC", "2024-03-01T00:00:00Z", map[string]string{"yesterday": "2024-02-29T00:00:00Z", "2024-02-29": "2024-02-29T00:00:00Z"}},
	} {
		in, err := time.LoadLocation(zone.name)
		if err != nil {
			t.Skipf("no time zones here: %v", err)
		}
		now, err := time.Parse(time.RFC3339, zone.now)
		if err != nil {
			t.Fatal(err)
		}
		for text, want := range zone.want {
			got, err := ParseTime(text, now.In(in))
			if err != nil || got.Format(time.RFC3339) != want {
				t.Errorf("%s, %s, %q: %s, %v, want %s", zone.name, zone.now, text, got.Format(time.RFC3339), err, want)
			}
		}
	}
}

func TestParseTimeRefuses(t *testing.T) {
	now := time.Date(2026, 3, 29, 12, 30, 0, 0, time.UTC)
	for _, text := range []string{
		"", " ", "soon", "25:00", "14:60", "2026-13-01", "2026-02-30", "2026-00", "99999999d", "--2h", "+2h", "-+2h", "5", "0", "-", "d", "h", "1d2h",
		"9999999999999h", "2h ago", "2026-03-01T14:00:00+99:00", "2026-03-01 14:00 CET", "\x1b[31m", "2026\x00", strings.Repeat("9", 100_000),
	} {
		if got, err := ParseTime(text, now); err == nil {
			t.Errorf("%.40q is %v", text, got)
		} else if strings.ContainsAny(err.Error(), "\x1b\x00\n") || len(err.Error()) > 400 {
			t.Errorf("%.40q: %.500q", text, err)
		}
	}
}
