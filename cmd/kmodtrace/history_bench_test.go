package main

import (
	"fmt"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/journal"
)

// fillJournal makes that journal.
func fillJournal(b *testing.B, path string, total int) {
	b.Helper()
	j, err := journal.Open(path, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	lines := recordedLines(b)
	const days = 100
	for day := range days {
		at := time.Date(2026, 1, 1+day, 8, 0, 0, 0, time.Local)
		boot := fmt.Sprintf("%08x-89ab-cdef-0123-456789abcdef", day)
		note := func(kind journal.Kind) journal.Record {
			return journal.Record{ID: fmt.Sprintf("%s-%s", boot, kind), Time: at, Boot: boot, Kind: kind}
		}
		keep(b, j, note(journal.KindStarted))
		if _, err := j.AppendInventory(b.Context(), note(journal.KindInventory), nil); err != nil {
			b.Fatal(err)
		}
		var batch []journal.Record
		for i := range total / days {
			r := recordOf(lines[i%len(lines)], i, at.Add(time.Duration(i)*time.Second))
			r.ID, r.Boot, r.Module = fmt.Sprintf("%s-%d", boot, i), boot, fmt.Sprint("module_", i%300)
			r.User = []string{"root", "alice", "bob", "backup"}[i%4]
			batch = append(batch, r)
		}
		keep(b, j, batch...)
	}
}

// BenchmarkHistory asks usual questions of 100,000 records, with the whole command: from
// its arguments to the last line. The first line of all comes before the last is read.
func BenchmarkHistory(b *testing.B) {
	path := filepath.Join(b.TempDir(), "journal.db")
	fillJournal(b, path, 100_000)
	for _, q := range []struct {
		name string
		args []string
	}{
		{"newest", []string{"history", "-n", "100"}},
		{"day", []string{"history", "--since", "2026-02-01", "--until", "2026-02-02"}},
		{"module", []string{"history", "--module", "module-7"}},
		{"glob", []string{"history", "--module", "module-7*", "-n", "100"}},
		{"module and user of a week", []string{"history", "--module", "module_8", "--user", "root", "--since", "2026-03-01", "--until", "2026-03-08"}},
		{"two users", []string{"history", "--user", "alice,bob", "-n", "100"}},
		{"failed of a boot", []string{"history", "--boot", "-3", "--outcome", "failed"}},
		{"gaps", []string{"history", "--kind", "gap"}},
		{"none", []string{"history", "--module", "nobody", "--gaps"}},
		{"first seen", []string{"history", "--first-seen"}},
		{"loaded at", []string{"history", "--loaded-at", "2026-02-01 12:00"}},
		{"show", []string{"history", "show", "5000"}},
		{"all text", []string{"history"}},
		{"all json", []string{"history", "--json"}},
		{"all csv", []string{"history", "--csv"}},
	} {
		b.Run(q.name, func(b *testing.B) {
			for b.Loop() {
				status := run(append(q.args, "--journal", path), nil, io.Discard, io.Discard)
				if status != exitOK && status != exitLost {
					b.Fatal(status)
				}
			}
		})
	}
}

// BenchmarkListWithoutJournal is what list costs where there is no journal: what it cost
// before it asked.
func BenchmarkListWithoutJournal(b *testing.B) {
	root := quietRoot(b)
	for b.Loop() {
		if status := run([]string{"list", "--root", root}, nil, io.Discard, io.Discard); status != exitOK {
			b.Fatal(status)
		}
	}
}
