package journal_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/kmodtrace/kmodtrace/journal"
)

// Keep a record, ask for it, and see whether anybody changed it.
func Example() {
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	j, err := journal.Open(filepath.Join(dir, "journal.db"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer j.Close()

	ctx := context.Background()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	_, err = j.Append(ctx,
		journal.Record{ID: "4f01", Time: at, Boot: "b1", Kind: journal.KindStarted},
		journal.Record{ID: "9f2c", Time: at.Add(time.Minute), Boot: "b1", Kind: journal.KindAction,
			Module: "hello", Action: journal.Load, Outcome: journal.Live, User: "alice", Body: []byte(`{"took_ns":3100000}`)},
		journal.Record{ID: "a07e", Time: at.Add(time.Hour), Boot: "b1", Kind: journal.KindAction,
			Module: "broken", Action: journal.Load, Outcome: "failed", Cause: "symbol-missing", User: "bob"})
	if err != nil {
		log.Fatal(err)
	}
	for r, err := range j.Query(ctx, journal.Filter{Actions: []string{journal.Load}, Since: at}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(r.Seq, r.ID, r.Module, r.Outcome, r.Cause, r.User)
	}
	report, err := j.Verify(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Records, "records,", len(report.Problems), "problems")
	// Output:
	// 3 a07e broken failed symbol-missing bob
	// 2 9f2c hello live  alice
	// 3 records, 0 problems
}

// What a service does about a damaged journal: keep it, begin a new one, and say so in
// it.
func ExampleSetAside() {
	const path = "/var/lib/kmodtrace/journal.db"
	j, err := journal.Open(path, nil)
	if errors.Is(err, journal.ErrCorrupt) {
		damage := err
		kept, err := journal.SetAside(path, time.Now())
		if err != nil {
			log.Fatal(err)
		}
		if j, err = journal.Open(path, nil); err != nil {
			log.Fatal(err)
		}
		_, err = j.Append(context.Background(), journal.Record{
			ID: filepath.Base(kept), Time: time.Now(), Boot: "…", Kind: journal.KindCorrupt,
			Body: fmt.Appendf(nil, `{"kept":%q,"why":%q}`, kept, damage),
		})
		if err != nil {
			log.Fatal(err)
		}
	} else if err != nil {
		log.Fatal(err)
	}
	defer j.Close()
}
