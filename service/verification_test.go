package service

import (
	"database/sql"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/rs/zerolog"
)

// kinds of all records, oldest first.
func (s *Service) kinds(t *testing.T) (kinds []journal.Kind) {
	t.Helper()
	for r, err := range s.journal.Query(t.Context(), journal.Filter{OldestFirst: true}) {
		if err != nil && !errors.Is(err, journal.ErrChanged) {
			t.Fatal(err)
		}
		kinds = append(kinds, r.Kind)
	}
	return kinds
}

// TestVerify: a record that somebody changed is told once, in the journal too, and the
// service is not healthy from then on.
func TestVerify(t *testing.T) {
	s := withJournal(t)
	s.records(t, 20)
	s.verify(t.Context())
	if n := s.problems.Load(); n != 0 {
		t.Fatalf("%d problems of a journal that nobody touched", n)
	}
	db, err := sql.Open("sqlite", s.config.Journal.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("UPDATE record SET body = x'7b7d' WHERE seq = 7"); err != nil {
		t.Fatal(err)
	}
	s.verify(t.Context())
	s.verify(t.Context())
	if n := s.problems.Load(); n != 1 {
		t.Errorf("%d problems", n)
	}
	if err := s.metrics.unhealthy(); err == nil || !strings.Contains(err.Error(), "audit verify") {
		t.Errorf("healthy: %v", err)
	}
	kinds := s.kinds(t)
	if want := append(slices.Repeat([]journal.Kind{journal.KindClock}, 20), journal.KindCorrupt); !slices.Equal(kinds, want) {
		t.Errorf("the journal has %v", kinds)
	}
}

// TestVerifyDamage: a file that cannot be read any more is told to the service, which then
// begins another.
func TestVerifyDamage(t *testing.T) {
	s := withJournal(t)
	s.records(t, 500)
	if err := s.journal.Close(); err != nil {
		t.Fatal(err)
	}
	path := s.config.Journal.Path
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	for i := len(text) / 3 / page * page; i < len(text)/2; i++ {
		text[i] = byte(i)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	kept, err := s.openJournal()
	if err != nil {
		t.Fatal(err)
	}
	s.keeper = newKeeper(s.journal, s.log)
	if kept != "" {
		return // seen at once
	}
	s.verify(t.Context())
	select {
	case err := <-s.damaged:
		if !errors.Is(err, journal.ErrCorrupt) {
			t.Error(err)
		}
	default:
		t.Error("nobody is told of the damage")
	}
}

// TestRetainWaits: what an output has not had stays in the journal, until that is twice as
// large as it may be; then the output says what it missed.
func TestRetainWaits(t *testing.T) {
	s := withJournal(t)
	down := &faulty{fails: true}
	d := s.begun(t, down, 5)
	s.records(t, 20)
	s.config.Journal.KeepFor = Duration(time.Nanosecond)
	s.config.Journal.KeepSize = leastSize
	s.retain(t.Context())
	if first := s.first(t); first != 6 {
		t.Fatalf("the first that is left is %d, want the first that the output has not had", first)
	}
	long := note{Text: strings.Repeat("long ", 50_000)}
	for range 3 * leastSize << 20 / len(long.Text) {
		if err := s.note(journal.KindClock, time.Now(), 0, long); err != nil {
			t.Fatal(err)
		}
	}
	s.config.Journal.KeepFor = 0
	s.retain(t.Context())
	first := s.first(t)
	if first == 6 {
		t.Fatal("the journal grows without end")
	}
	down.fix()
	until(t, "the rest", func() bool { return d.lag() == 0 })
	// What it had read before, and not passed on yet, it may have had from memory.
	got, _ := down.state()
	missing := int64(0)
	for n := int64(6); n <= s.last(t); n++ {
		if slices.Contains(got, n) {
			continue
		}
		if missing++; n >= first {
			t.Errorf("it did not get %d", n)
		}
	}
	if d.missed.Load() != missing {
		t.Errorf("it missed %d, and says %d; %d is the first that is left", missing, d.missed.Load(), first)
	}
}

// last is the number of the newest record.
func (s *Service) last(t *testing.T) int64 {
	t.Helper()
	size, err := s.journal.Size(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return size.Last
}

// first is the number of the oldest record that is not a word about retention.
func (s *Service) first(t *testing.T) int64 {
	t.Helper()
	records, err := s.journal.ReadFrom(t.Context(), 1, 1)
	if err != nil || len(records) == 0 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	return records[0].Seq
}

// TestAnchor: the system's log, or this program's where there is none, gets a line by which
// the journal can be checked; not twice the same.
func TestAnchor(t *testing.T) {
	s := withJournal(t)
	var said strings.Builder
	log := zerolog.New(zerolog.ConsoleWriter{Out: &said, NoColor: true})
	s.log = &log
	s.records(t, 3)
	told := s.anchor(t.Context(), 0)
	if told != 3 || s.anchor(t.Context(), told) != 3 {
		t.Errorf("an anchor of record %d", told)
	}
	if _, err := os.Stat("/dev/log"); err == nil {
		return // it is there
	}
	if n := strings.Count(said.String(), "anchor journal="); n != 1 {
		t.Fatalf("%d anchors: %s", n, said.String())
	}
	a, err := journal.ParseAnchor(said.String())
	if err != nil {
		t.Fatal(err)
	}
	s.records(t, 2)
	report, err := s.journal.Verify(t.Context(), a)
	if err != nil || !report.OK() || report.Anchors != 1 {
		t.Errorf("%+v, %v", report, err)
	}
}
