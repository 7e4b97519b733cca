package service

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// TestRetainedAtOnce: a journal that has grown beyond its bound is cut back as it grows, and
// not when retention is due by the clock.
func TestRetainedAtOnce(t *testing.T) {
	log := zerolog.Nop()
	s := withJournalIn(t, t.TempDir(), &log)
	s.config = &Config{Journal: JournalConfig{Path: s.config.Journal.Path, KeepSize: leastSize}}
	s.setRoom()
	k, err := kernel.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	s.asker = newAsker(func() inquiry { return record.NewInquiry(k, false) })
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { s.retentions(ctx) })
	ended := make(chan error, 1)
	go func() { ended <- s.record(t.Context()) }()
	const actions = 150 // some 9 MiB
	for n := range actions {
		// Random text, for records are compressed.
		message := strings.Join(randomWords(1500), "")
		s.intake.put(&tracer.Action{ID: tracer.ID(n + 1), Kind: tracer.Load, Module: "some", Outcome: tracer.Live, Time: time.Now(), Messages: []string{message}})
	}
	s.intake.end()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	until(t, "the journal is as small as it may be", func() bool { return !s.journal.Due() })
	stop()
	group.Wait()
	kept := 0
	for r, err := range s.journal.Query(t.Context(), journal.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind == journal.KindAction {
			kept++
		}
	}
	if kept == 0 || kept == actions {
		t.Errorf("%d of %d actions are left", kept, actions)
	}
}

func randomWords(n int) []string {
	words := make([]string, n)
	for i := range words {
		words[i] = rand.Text()
	}
	return words
}
