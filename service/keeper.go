package service

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/kmodtrace/kmodtrace/journal"
)

// keeper appends to the journal, and goes on trying where that has no room: what has not
// been recorded is not forgotten, as long as this process lives. Behind it the queues
// fill up, and then events are lost, and counted.
type keeper struct {
	journal *journal.Journal
	log     *zerolog.Logger

	mu    sync.Mutex
	since time.Time // when it began to fail; zero while it works
	gone  chan struct{}
	once  sync.Once
}

func newKeeper(j *journal.Journal, log *zerolog.Logger) *keeper {
	return &keeper{journal: j, log: log, gone: make(chan struct{})}
}

// The pauses between two tries.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 10 * time.Second
)

// keep returns when the records are on the disk. An error is one that trying again does
// not mend, or that the keeper was told to give up.
func (k *keeper) keep(records ...journal.Record) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		_, err := k.journal.Append(context.Background(), records...)
		if err == nil {
			k.works()
			return nil
		}
		if errors.Is(err, journal.ErrCorrupt) || errors.Is(err, journal.ErrClosed) {
			return err
		}
		k.fails(err)
		select {
		case <-k.gone:
			return err
		case <-time.After(pause):
		}
	}
}

// giveUp ends the trying: there is no more time.
func (k *keeper) giveUp() { k.once.Do(func() { close(k.gone) }) }

func (k *keeper) works() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.since.IsZero() {
		k.log.Info().Msgf("the journal can be written again, after %v", time.Since(k.since).Round(time.Second))
	}
	k.since = time.Time{}
}

func (k *keeper) fails(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.since.IsZero() {
		k.since = time.Now()
		k.log.Error().Msgf("%v: what happens is kept in memory until it can be written", err)
	}
}

// failing tells for how long nothing could be kept; 0 while it can.
func (k *keeper) failing() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.since.IsZero() {
		return 0
	}
	return time.Since(k.since)
}
