//go:build !race

package main

import (
	"runtime"
	"testing"
	"time"
)

// A forged body of 100 MB in a copied journal is not read into memory, however the copy is
// asked; that record is said to be changed, and the others are shown.
func TestForgedBodyIsNotRead(t *testing.T) {
	j := newJournal(t)
	at := time.Date(2026, 3, 1, 14, 0, 0, 0, time.Local)
	for i, line := range recordedLines(t)[:3] {
		keep(t, j, recordOf(line, i, at))
	}
	path := j.Path()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	db := openFile(t, path)
	if _, err := db.Exec("UPDATE record SET body = CAST('\"' || hex(zeroblob(50000000)) || '\"' AS BLOB) WHERE seq = 2"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	for _, args := range [][]string{{"history"}, {"history", "--json"}, {"history", "--csv"}, {"history", "-n", "3", "--json"}, {"history", "show", "2"}, {"history", "show", "2", "--json"}, {"audit", "verify"}} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		out, errs, status := ask(t, append(args, "--journal", path)...)
		runtime.ReadMemStats(&after)
		if mb := (after.TotalAlloc - before.TotalAlloc) >> 20; mb > 60 {
			t.Errorf("%q allocates %d MB", args, mb)
		}
		if status != exitRefused || len(out) > 1<<20 {
			t.Errorf("%q: status %d, %d bytes, %.300s", args, status, len(out), errs)
		}
	}
}
