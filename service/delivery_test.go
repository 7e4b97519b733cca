package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/kmodtrace/kmodtrace/internal/await"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/output"
)

// withJournal is a service that records, but watches nothing.
func withJournal(t *testing.T) *Service {
	t.Helper()
	log := zerolog.Nop()
	return withJournalIn(t, t.TempDir(), &log)
}

func withJournalIn(t *testing.T, dir string, log *zerolog.Logger) *Service {
	t.Helper()
	s := newService("", &Config{Journal: JournalConfig{Path: filepath.Join(dir, "journal.db")}}, log)
	s.recorder = recorder{boot: "0123456789abcdef"}
	s.tracer = new(quietKernel)
	if _, err := s.openJournal(); err != nil {
		t.Fatal(err)
	}
	s.keeper = newKeeper(s.journal, s.log)
	s.metrics = newMetrics(s)
	t.Cleanup(func() {
		s.stopDeliveries()
		if err := s.journal.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// records adds n records.
func (s *Service) records(t *testing.T, n int) {
	t.Helper()
	for range n {
		if err := s.note(journal.KindClock, time.Now(), 0, note{Text: "a record"}); err != nil {
			t.Fatal(err)
		}
	}
}

// faulty is an output that fails, or hangs, until it is fixed.
type faulty struct {
	mu    sync.Mutex
	fails bool
	hangs bool
	got   []int64
	tries int
}

func (f *faulty) Name() string { return "faulty" }
func (f *faulty) Close() error { return nil }

func (f *faulty) Send(ctx context.Context, entries []output.Entry) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tries++
	if f.hangs {
		f.mu.Unlock()
		<-ctx.Done()
		f.mu.Lock()
		return ctx.Err()
	}
	if f.fails {
		return errors.New("nobody there")
	}
	for _, e := range entries {
		f.got = append(f.got, e.Seq)
	}
	return nil
}

func (f *faulty) state() (got []int64, tries int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.got), f.tries
}

func (f *faulty) fix() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fails, f.hangs = false, false
}

// until waits for something that another goroutine does.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	await.Until(t, what, is)
}

func (s *Service) begun(t *testing.T, o output.Output, head int64) *delivery {
	t.Helper()
	at, err := s.beginning(t.Context(), o.Name(), head)
	if err != nil {
		t.Fatal(err)
	}
	d := s.start(t.Context(), o, at, 0)
	s.mu.Lock()
	s.deliveries = append(s.deliveries, d)
	s.mu.Unlock()
	return d
}

// TestDelivery: an output that is down holds nothing up, gets all in order once it is
// there, and after a restart goes on from where it was.
func TestDelivery(t *testing.T) {
	s := withJournal(t)
	s.records(t, 5) // before the output was configured
	down := &faulty{fails: true}
	d := s.begun(t, down, 5)
	s.records(t, 250)
	until(t, "a try", func() bool { _, tries := down.state(); return tries > 0 })
	if got, _ := down.state(); len(got) != 0 || d.lag() != 250 {
		t.Fatalf("it took %d, and lacks %d", len(got), d.lag())
	}
	down.fix()
	until(t, "all records", func() bool { return d.lag() == 0 })
	got, _ := down.state()
	for i, seq := range got {
		if seq != int64(6+i) {
			t.Fatalf("number %d after %v", seq, got[:i])
		}
	}
	s.stopDeliveries()
	s.records(t, 3)
	again := &faulty{}
	d = s.begun(t, again, 0)
	until(t, "the rest", func() bool { return d.lag() == 0 })
	if got, _ := again.state(); !slices.Equal(got, []int64{256, 257, 258}) {
		t.Errorf("after a restart it got %v", got)
	}
}

// TestWrongCursor: an output whose cursor is beyond the journal's end skips nothing. It gets
// all records again, and the log and the journal say so. The next start goes on as ever.
func TestWrongCursor(t *testing.T) {
	var said strings.Builder
	log := zerolog.New(&said)
	s := withJournalIn(t, t.TempDir(), &log)
	s.records(t, 5)
	for _, wrong := range []int64{900, 6, 0, -3} {
		if err := s.journal.SetCursor(t.Context(), "faulty", wrong); err != nil {
			t.Fatal(err)
		}
		said.Reset()
		last := s.last(t)
		if wrong == 6 {
			wrong = last + 1
			if err := s.journal.SetCursor(t.Context(), "faulty", wrong); err != nil {
				t.Fatal(err)
			}
		}
		o := &faulty{}
		d := s.begun(t, o, last)
		until(t, "all records", func() bool { return d.lag() == 0 })
		s.stopDeliveries()
		got, _ := o.state()
		if int64(len(got)) != last+1 || got[0] != 1 {
			t.Errorf("a cursor of %d: it got %v", wrong, got)
		}
		want := fmt.Sprintf("is %d, but the journal has records up to %d", wrong, last)
		if !strings.Contains(said.String(), want) || d.missed.Load() != 0 {
			t.Errorf("a cursor of %d: the log has %s", wrong, said.String())
		}
		records, err := s.journal.ReadFrom(t.Context(), last+1, 9)
		if err != nil || len(records) != 1 || records[0].Kind != journal.KindCorrupt || !strings.Contains(string(records[0].Body), want) {
			t.Errorf("a cursor of %d: the journal has %v, %v", wrong, records, err)
		}
	}
	s.records(t, 2)
	o := &faulty{}
	d := s.begun(t, o, s.last(t))
	until(t, "the rest", func() bool { return d.lag() == 0 })
	s.stopDeliveries()
	if got, _ := o.state(); len(got) != 2 {
		t.Errorf("after that it got %v", got)
	}
}

// TestDeliveryHangs: an output that hangs does not keep the service from ending, and what
// it was given counts as not delivered.
func TestDeliveryHangs(t *testing.T) {
	s := withJournal(t)
	hung := &faulty{hangs: true}
	d := s.begun(t, hung, 0)
	s.records(t, 1)
	until(t, "a try", func() bool { _, tries := hung.state(); return tries > 0 })
	d.finish(0)
	s.deliveries = nil
	if at, err := s.journal.Cursor(t.Context(), "faulty"); err != nil || at != 0 {
		t.Errorf("its cursor is at %d, %v", at, err)
	}
}

// picky is an output that refuses one record, as its own contract has it.
type picky struct {
	refuses int64
	took    []int64
}

func (p *picky) Name() string { return "picky" }
func (p *picky) Close() error { return nil }

func (p *picky) Send(_ context.Context, entries []output.Entry) error {
	for _, e := range entries {
		if e.Seq == p.refuses {
			return &output.RefusedError{Seq: e.Seq, Err: errors.New("no")}
		}
		p.took = append(p.took, e.Seq)
	}
	return nil
}

// TestDeliveryBacklog: an output that comes back after thousands of records gets them all, in
// order. TestDeliveryLong is the same with a hundred thousand.
func TestDeliveryBacklog(t *testing.T) { deliverBacklog(t, 5_000) }

func deliverBacklog(t *testing.T, total int) {
	t.Helper()
	s := withJournal(t)
	hung := &faulty{hangs: true}
	d := s.begun(t, hung, 0)
	for n := 0; n < total; {
		batch := make([]journal.Record, 1000)
		for i := range batch {
			n++
			batch[i] = journal.Record{ID: strconv.Itoa(n), Time: time.Unix(int64(n), 0), Boot: "b", Kind: journal.KindAction,
				Module: "hello", Action: journal.Load, Outcome: journal.Live, Body: []byte(`{"action":"load","module":"hello","outcome":"live"}`)}
		}
		if _, err := s.journal.Append(t.Context(), batch...); err != nil {
			t.Fatal(err)
		}
	}
	if lag := d.lag(); lag != int64(total) {
		t.Fatalf("it lacks %d", lag)
	}
	hung.fix()
	d.stop()
	<-d.done // as a restart does
	d = s.begun(t, hung, 0)
	until(t, "all records", func() bool { return d.lag() == 0 })
	got, _ := hung.state()
	for i, seq := range got {
		if seq != int64(i+1) {
			t.Fatalf("number %d is the %dth", seq, i+1)
		}
	}
	if len(got) != total {
		t.Errorf("it got %d", len(got))
	}
}

// TestRefused: a record that an output will never take holds up none after it, and those
// before it are not sent again.
func TestRefused(t *testing.T) {
	s := withJournal(t)
	s.records(t, 4)
	p := &picky{refuses: 2}
	d := s.begun(t, p, 0)
	until(t, "all records", func() bool { return d.lag() == 0 })
	s.stopDeliveries()
	if !slices.Equal(p.took, []int64{1, 3, 4}) {
		t.Errorf("took %v", p.took)
	}
	if at, err := s.journal.Cursor(t.Context(), "picky"); err != nil || at != 4 {
		t.Errorf("at %d, %v", at, err)
	}
}

// TestDamagedJournal: a journal that is none any more is kept aside, and a new one says so.
func TestDamagedJournal(t *testing.T) {
	s := withJournal(t)
	s.records(t, 50)
	path := s.config.Journal.Path
	if err := s.journal.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		data[i] = 'x'
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	kept, err := s.openJournal()
	if err != nil || kept == "" {
		t.Fatalf("kept as %q, %v", kept, err)
	}
	if aside, err := os.ReadFile(kept); err != nil || !slices.Equal(aside, data) {
		t.Errorf("what was kept is not what was there: %v", err)
	}
	if size, err := s.journal.Size(t.Context()); err != nil || size.Last != 0 {
		t.Errorf("the new one has %d records, %v", size.Last, err)
	}
}

// TestBefore: how the last watching ended is told by the last record.
func TestBefore(t *testing.T) {
	s := withJournal(t)
	is := func(want string) {
		t.Helper()
		text, err := s.before(t.Context())
		if err != nil || !strings.HasPrefix(text, want) {
			t.Errorf("%q, %v, want %q", text, err, want)
		}
	}
	is("the watching began, for the first time")
	s.records(t, 1)
	is("the watching began; the one before it was killed")
	if err := s.note(journal.KindStopped, time.Now(), 0, note{Text: "the watching ended"}); err != nil {
		t.Fatal(err)
	}
	is("the watching began; the one before it had stopped")
	s.records(t, 1)
	s.recorder.boot = "fedcba9876543210"
	is("the watching began; the one before it ended with the machine")
}

func TestClockStep(t *testing.T) {
	c := newClock()
	if by := c.step(); by != 0 {
		t.Errorf("nobody set the clock, by %v", by)
	}
	c.offset += time.Hour // as if it had been an hour later before
	if by := c.step(); by > -time.Hour+time.Second || by < -time.Hour-time.Second {
		t.Errorf("set back by an hour: %v", by)
	}
	if by := c.step(); by != 0 {
		t.Errorf("told twice: %v", by)
	}
}
