package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/journal"
)

// someJournal has an action of each outcome, gaps, and what would steer a terminal.
func someJournal(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journal.db")
	j, err := journal.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	at := time.Date(2026, 3, 1, 14, 0, 0, 0, time.Local)
	add := func(r journal.Record) {
		t.Helper()
		at = at.Add(time.Hour)
		r.Time, r.Boot, r.ID = at, "0123456789abcdef", fmt.Sprintf("01234567-%d-7", at.Unix())
		if _, err := j.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	add(journal.Record{Kind: journal.KindStarted, Body: []byte(`{"text":"the watching began"}`)})
	add(journal.Record{Kind: journal.KindAction, Module: "hello", Action: "load", Outcome: "live", User: "alice",
		Body: []byte(`{"id":1,"action":"load","module":"hello","module_from":"kernel","outcome":"live","thread":{"pid":7,"comm":"insmod"},"seen":[]}`)})
	add(journal.Record{Kind: journal.KindLost, Count: 5, Body: []byte(`{"text":"lost 5 events\u001b[31m"}`)})
	at = at.Add(24 * time.Hour)
	add(journal.Record{Kind: journal.KindAction, Module: "refuse", Action: "load", Outcome: "failed", Cause: "init-refused", User: "root",
		Body: []byte(`{"id":2,"action":"load","module":"refuse","module_from":"kernel","outcome":"failed","errno":5,"errno_name":"EIO","thread":{"pid":8,"comm":"insmod"},"seen":[]}`)})
	add(journal.Record{Kind: journal.KindAction, Module: "odd", Action: "load", Outcome: "live", Body: []byte("no JSON \x1b[31m")})
	return path
}

func historyOf(t *testing.T, args ...string) (out, errs string, status int) {
	t.Helper()
	var o, e bytes.Buffer
	status = run(args, nil, &o, &e)
	return o.String(), e.String(), status
}

func TestHistory(t *testing.T) {
	path := someJournal(t)
	for _, c := range []struct {
		args []string
		want []string
		not  []string
	}{
		{nil, []string{"2026-03-01\n", "started", "hello", "lost 5 events", "2026-03-02\n", "failed EIO", "odd"}, []string{"\x1b"}},
		{[]string{"--module", "hello"}, []string{"hello"}, []string{"refuse", "lost"}},
		{[]string{"--user", "alice"}, []string{"hello"}, []string{"refuse"}},
		{[]string{"--outcome", "failed"}, []string{"refuse"}, []string{"hello"}},
		{[]string{"--cause", "init-refused"}, []string{"refuse"}, []string{"hello"}},
		{[]string{"--since", "2026-03-02"}, []string{"refuse"}, []string{"hello"}},
		{[]string{"--until", "2026-03-02"}, []string{"hello"}, []string{"refuse"}},
		{[]string{"--last", "1"}, []string{"odd"}, []string{"refuse"}},
		{[]string{"--module", "nosuch"}, nil, []string{"hello"}},
		{[]string{"--json", "--module", "odd"}, []string{`"seq":5`, `"record":"no JSON`}, []string{"\x1b"}},
		{[]string{"show", "2"}, []string{"record 2", "hash ", "hello"}, []string{"refuse"}},
		{[]string{"show", "3"}, []string{"lost 5 events"}, []string{"\x1b"}},
		{[]string{"show", "2", "--json"}, []string{`"seq": 2`}, nil},
	} {
		out, errs, status := historyOf(t, append(append([]string{"history"}, c.args...), "--journal", path)...)
		if status != exitOK {
			t.Errorf("%q: status %d: %s", c.args, status, errs)
		}
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%q: no %q in\n%s", c.args, want, out)
			}
		}
		for _, not := range c.not {
			if strings.Contains(out, not) {
				t.Errorf("%q: %q in\n%s", c.args, not, out)
			}
		}
	}
}

func TestHistoryBad(t *testing.T) {
	path := someJournal(t)
	junk := filepath.Join(t.TempDir(), "junk")
	if err := os.WriteFile(junk, []byte(strings.Repeat("no journal ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"history", "--journal", "/nonexistent/j.db"}, exitRefused, "kmodtrace serve writes one"},
		{[]string{"history", "--journal", t.TempDir()}, exitRefused, ""},
		{[]string{"history", "--journal", junk}, exitRefused, ""},
		{[]string{"history", "--journal", os.DevNull}, exitRefused, ""},
		{[]string{"history", "--journal", path, "--since", "soon"}, exitUsage, "is no time"},
		{[]string{"history", "--journal", path, "--last", "-1"}, exitUsage, "--last -1"},
		{[]string{"history", "--journal", path, "--outcome", "good"}, exitUsage, "want one of"},
		{[]string{"history", "--journal", path, "--action", "eat"}, exitUsage, "want one of"},
		{[]string{"history", "--journal", path, "extra"}, exitUsage, "takes no arguments"},
		{[]string{"history", "show", "--journal", path}, exitUsage, "want one record"},
		{[]string{"history", "show", "99", "--journal", path}, exitRefused, "no such record"},
		{[]string{"history", "show", "01234567", "--journal", path}, exitRefused, "several records"},
		{[]string{"audit", "verify", "--journal", path, "--anchors", "/nonexistent"}, exitRefused, "anchors"},
		{[]string{"audit", "verify", "--journal", path, "--anchors", os.DevNull}, exitRefused, "no anchor in"},
		{[]string{"audit", "nonsense"}, exitUsage, "no command"},
	} {
		out, errs, status := historyOf(t, c.args...)
		if status != c.status || !strings.Contains(errs, c.says) || out != "" {
			t.Errorf("%q: status %d, %q, said %q", c.args, status, out, errs)
		}
		if n := strings.Count(errs, "\n"); n > 2 {
			t.Errorf("%q: %d lines of error:\n%s", c.args, n, errs)
		}
	}
}

// TestVerify: an untouched journal is in order, one with a changed byte is not, and an
// anchor of before finds that the end was cut off.
func TestVerify(t *testing.T) {
	path := someJournal(t)
	out, errs, status := historyOf(t, "audit", "verify", "--journal", path)
	if status != exitOK || !strings.Contains(out, "5 records from number 1 on are as they were written") {
		t.Fatalf("status %d: %s%s", status, out, errs)
	}
	anchor, _, _ := historyOf(t, "audit", "anchor", "--journal", path)
	anchors := filepath.Join(t.TempDir(), "auth.log")
	if err := os.WriteFile(anchors, []byte("Mar  1 sshd: nothing\nMar  1 kmodtrace: anchor "+anchor), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, status = historyOf(t, "audit", "verify", "--journal", path, "--anchors", anchors)
	if status != exitOK || !strings.Contains(out, "and the anchor agrees") {
		t.Errorf("status %d: %s%s", status, out, errs)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.ReplaceAll(data, []byte("alice"), []byte("mallo"))
	if err := os.WriteFile(path, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, status = historyOf(t, "audit", "verify", "--journal", path)
	if status != exitRefused || !strings.Contains(out, "record 2 changed") || !strings.Contains(errs, "not as it was written") {
		t.Errorf("status %d: %s%s", status, out, errs)
	}
}
