package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/kmodtrace/kmodtrace/journal"
)

// journalctlLine is a line of journalctl -o json.
func journalctlLine(t *testing.T, fields map[string]any) string {
	t.Helper()
	text, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

// In journalctl's JSON an anchor counts only if root's kmodtrace wrote it, whatever
// else a line says of itself.
func TestAnchorsOfJournalctl(t *testing.T) {
	j := newJournal(t)
	lines := recordedLines(t)
	keep(t, j, recordOf(lines[0], 0, time.Date(2026, 3, 1, 14, 0, 0, 0, time.Local)))
	real := strings.TrimSpace(theAnswer(t, "audit", "anchor", "--journal", j.Path()))
	a, err := journal.ParseAnchor(real)
	if err != nil {
		t.Fatal(err)
	}
	a.Hash[0]++
	imitated := "anchor " + a.String()
	service := func(text any) map[string]any {
		return map[string]any{"MESSAGE": text, "_UID": "0", "_SYSTEMD_UNIT": "kmodtrace.service", "_COMM": "kmodtrace", "_PID": "7", "SYSLOG_IDENTIFIER": "kmodtrace"}
	}
	with := func(text any, key string, value any) map[string]any {
		m := service(text)
		if value == nil {
			delete(m, key)
		} else {
			m[key] = value
		}
		return m
	}
	bytes := make([]int, 0, len(real))
	for _, b := range []byte("anchor " + real) {
		bytes = append(bytes, int(b))
	}
	for name, c := range map[string]struct {
		line map[string]any
		says string // why it is left out; empty: it counts
	}{
		"the service's":          {service("anchor " + real), ""},
		"its bytes":              {service(bytes), ""},
		"root's, by hand":        {with("anchor "+real, "_SYSTEMD_UNIT", "session-3.scope"), ""},
		"of the service's shell": {with("anchor "+real, "_COMM", "sh"), ""},
		"a user's":               {with(imitated, "_UID", "1000"), "user 1000 wrote"},
		"nobody's":               {with(imitated, "_UID", nil), "nobody knows who wrote"},
		"a user's who says UID":  {map[string]any{"MESSAGE": imitated, "UID": "0", "_UID": "1000", "_COMM": "kmodtrace"}, "user 1000 wrote"},
		"of another program": {map[string]any{"MESSAGE": imitated, "_UID": "0", "_SYSTEMD_UNIT": "cron.service", "_COMM": "logger", "SYSLOG_IDENTIFIER": "kmodtrace"},
			"logger of cron.service wrote"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "log.json")
			content := journalctlLine(t, c.line)
			if c.says != "" {
				content += journalctlLine(t, service("anchor "+real))
			}
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			out, errs, status := ask(t, "audit", "verify", "--journal", j.Path(), "--anchors", file)
			if status != exitOK || !strings.Contains(out, "and the anchor agrees") || !strings.Contains(errs, c.says) {
				t.Errorf("status %d: %s%s", status, out, errs)
			}
		})
	}
}

// The newest records in the order of old to new are the same as in that of new to old.
func TestNewestInBothOrders(t *testing.T) {
	j := newJournal(t)
	at := time.Date(2026, 3, 1, 14, 0, 0, 0, time.Local)
	for i := range 40 {
		r := recordOf(recordedLines(t)[i%3], i, at.Add(time.Duration(i)*time.Second))
		r.ID = fmt.Sprint("r-", i)
		if i%7 == 0 {
			r = journal.Record{ID: r.ID, Time: r.Time, Boot: r.Boot, Kind: journal.KindLost, Count: 1}
		}
		keep(t, j, r)
	}
	for _, args := range [][]string{{}, {"--gaps", "--action", "load"}, {"--action", "load"}} {
		args = append(append([]string{"history", "--json", "--journal", j.Path()}, args...), "-n", "9")
		forward := strings.Split(strings.TrimSpace(theAnswer(t, args...)), "\n")
		backward := strings.Split(strings.TrimSpace(theAnswer(t, append(args, "--reverse")...)), "\n")
		if len(forward) != 9 || len(backward) != 9 {
			t.Fatalf("%d and %d lines", len(forward), len(backward))
		}
		for i := range forward {
			if forward[i] != backward[8-i] {
				t.Errorf("line %d: %.80s, and %.80s", i, forward[i], backward[8-i])
			}
		}
	}
}

// Each kind that is not an attempt has one clear line.
func TestKindsHaveALine(t *testing.T) {
	for _, k := range journal.Kinds() {
		if k == journal.KindAction {
			continue
		}
		text := history.NoteText(&journal.Record{Kind: k, Count: 3})
		if text == string(k) || strings.Contains(text, "\n") {
			t.Errorf("%s: %q", k, text)
		}
	}
}
