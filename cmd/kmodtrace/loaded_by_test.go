package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/history"
	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/journal"
)

// While the service runs, who loaded what is not doubtful; when a service was killed, it
// is, though no record says so. A gap since the load makes it doubtful too.
func TestLoadedNow(t *testing.T) {
	root := t.TempDir()
	boot := filepath.Join(root, procfs.BootIDFile)
	if err := os.MkdirAll(filepath.Dir(boot), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(boot, []byte(testBoot+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	j := newJournal(t)
	at := time.Now().Add(-time.Hour)
	n := 0
	record := func(kind journal.Kind, module string) journal.Record {
		n++
		return journal.Record{ID: string(rune('a' + n)), Time: at.Add(time.Duration(n) * time.Minute), Boot: testBoot, Kind: kind, Module: module}
	}
	load := func(module string) journal.Record {
		r := record(journal.KindAction, module)
		r.Action, r.Outcome, r.User, r.File = journal.Load, journal.Live, "alice", "/m.ko"
		return r
	}
	inventory := func(modules ...string) {
		t.Helper()
		head := record(journal.KindInventory, "")
		var found []journal.Record
		for _, m := range modules {
			found = append(found, record(journal.KindPresent, m))
		}
		if _, err := j.AppendInventory(context.Background(), head, found); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(when, hello, ext4 string) {
		t.Helper()
		known, err := history.LoadedNow(t.Context(), j.Path(), root)
		if err != nil || known["hello"] == nil || known["ext4"] == nil || len(known) != 2 {
			t.Fatalf("%s: %v, %v", when, known, err)
		}
		if got := known["hello"].Who(); got != hello {
			t.Errorf("%s: hello by %q, want %q", when, got, hello)
		}
		if got := known["ext4"].Who(); got != ext4 {
			t.Errorf("%s: ext4 by %q, want %q", when, got, ext4)
		}
	}
	keep(t, j, record(journal.KindStarted, ""))
	inventory("ext4")
	keep(t, j, load("hello"))
	expect("the service runs", "alice", "not known")
	keep(t, j, record(journal.KindLost, ""))
	expect("events were lost", "alice?", "not known")
	inventory("ext4", "hello")
	expect("and it was looked again", "alice?", "not known")
	keep(t, j, record(journal.KindStarted, ""))
	inventory("ext4", "hello")
	expect("the service was killed and started again", "alice?", "not known")
	unload := load("hello")
	unload.Action, unload.Outcome = journal.Unload, journal.Unloaded
	keep(t, j, unload, load("hello"))
	expect("loaded again", "alice", "not known")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	expect("nobody writes", "alice?", "not known")
}

// LOADED is a time of day only today.
func TestLoadedWhen(t *testing.T) {
	now := time.Date(2026, 3, 1, 23, 0, 0, 0, time.Local)
	for _, c := range []struct {
		by   history.LoadedBy
		want string
	}{
		{history.LoadedBy{Seen: true, Time: now.Add(-time.Hour)}, "22:00:00"},
		{history.LoadedBy{Seen: true, Time: now.Add(-24 * time.Hour)}, "2026-02-28"},
		{history.LoadedBy{Time: now.Add(-time.Hour)}, "before 22:00:00"},
		{history.LoadedBy{Time: now.Add(-24 * time.Hour)}, "before 2026-02-28"},
	} {
		if got := c.by.When(now); got != c.want {
			t.Errorf("%+v: %q, want %q", c.by, got, c.want)
		}
	}
}

// A journal that is being written has no doubt about now; one without a writer has.
func TestLoadedAtNow(t *testing.T) {
	j := newJournal(t)
	at := time.Now().Add(-time.Hour)
	keep(t, j, journal.Record{ID: "s", Time: at, Boot: testBoot, Kind: journal.KindStarted})
	if _, err := j.AppendInventory(t.Context(), journal.Record{ID: "i", Time: at, Boot: testBoot}, nil); err != nil {
		t.Fatal(err)
	}
	out, errs, status := ask(t, "history", "--loaded-at", "now", "--journal", j.Path())
	if status != exitOK || out != "" || errs != "kmodtrace: no module was loaded then\n" {
		t.Errorf("status %d: %s%s", status, out, errs)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	_, errs, status = ask(t, "history", "--loaded-at", "now", "--journal", j.Path())
	if status != exitLost || !strings.Contains(errs, "no kmodtrace serve writes this journal now") {
		t.Errorf("status %d: %s", status, errs)
	}
	theAnswer(t, "history", "--json", "--loaded-at", at.UTC().Format(time.RFC3339Nano), "--journal", j.Path())
}
