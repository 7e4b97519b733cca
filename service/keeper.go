package service

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/kmodtrace/kmodtrace/internal/jsonline"
	"github.com/kmodtrace/kmodtrace/journal"
)

// keeper appends to the journal. Where that cannot be written it goes on trying with what
// happened: that is not forgotten, as long as this process lives. Behind it the queues
// fill up, and then events are lost, and counted.
type keeper struct {
	journal *journal.Journal
	log     *zerolog.Logger

	mu     sync.Mutex
	since  time.Time // when it began to fail; zero while it works
	minor  time.Time // the same for minor records, which fail where little room is left
	waits  error     // why keep waits to try again; nil if it does not
	gone   chan struct{}
	gaveUp sync.Once
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
// not fix, or that the keeper was told to give up.
func (k *keeper) keep(records ...journal.Record) error {
	defer k.wait(nil)
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		_, err := k.append(records)
		if err == nil || errors.Is(err, journal.ErrCorrupt) || errors.Is(err, journal.ErrClosed) {
			return err
		}
		if errors.Is(err, journal.ErrTooLarge) {
			records = k.withoutTooLarge(records)
			continue
		}
		k.wait(err)
		select {
		case <-k.gone:
			return err
		case <-time.After(pause):
		}
	}
}

// withoutTooLarge puts a word about it in the place of each record that can never be kept:
// it would hold up the others for ever.
func (k *keeper) withoutTooLarge(records []journal.Record) []journal.Record {
	all := make([]journal.Record, len(records))
	for i, r := range records {
		all[i] = r
		_, err := k.journal.Append(context.Background(), r) // those that are kept are not kept twice
		if !errors.Is(err, journal.ErrTooLarge) {
			continue
		}
		k.log.Error().Msg(err.Error())
		body, _ := jsonline.Marshal(note{Text: "an attempt could not be recorded: its record is too large"})
		all[i] = journal.Record{ID: cutText(r.ID, 100), Time: r.Time, Boot: r.Boot, Kind: journal.KindLost, Count: 1, Body: body}
	}
	return all
}

// try keeps records now or not at all: for what can be said later, or makes no sense
// then. It does not go in before what keep waits with, nor tell that all is well because
// there is room for a little.
func (k *keeper) try(records ...journal.Record) ([]journal.Appended, error) {
	k.mu.Lock()
	err := k.waits
	k.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return k.append(records)
}

// tryMinor keeps minor records now or not at all.
func (k *keeper) tryMinor(records ...journal.Record) error {
	k.mu.Lock()
	err := k.waits
	k.mu.Unlock()
	if err != nil {
		return err
	}
	_, err = k.journal.Append(context.Background(), records...)
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err != nil && k.minor.IsZero():
		k.minor = time.Now()
		k.log.Error().Msgf("%v: attempts that changed nothing, by those who may not load modules, are only counted until it can be written%s", err, advice(err))
	case err == nil && !k.minor.IsZero():
		k.log.Info().Msgf("attempts that changed nothing are recorded again, after %v", time.Since(k.minor).Round(time.Second))
		k.minor = time.Time{}
	}
	return err
}

// giveUp ends the trying: there is no more time.
func (k *keeper) giveUp() { k.gaveUp.Do(func() { close(k.gone) }) }

func (k *keeper) wait(why error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.waits = why
}

// append does it once, and says when it begins to fail and when it works again: not each
// time.
func (k *keeper) append(records []journal.Record) ([]journal.Appended, error) {
	done, err := k.journal.Append(context.Background(), records...)
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err != nil && k.since.IsZero():
		k.since = time.Now()
		k.log.Error().Msgf("%v: attempts are kept in memory until it can be written, some tens of thousands of them%s", err, advice(err))
	case err == nil && !k.since.IsZero():
		k.log.Info().Msgf("the journal can be written again, after %v", time.Since(k.since).Round(time.Second))
		k.since = time.Time{}
	}
	return done, err
}

// advice says what to do about a journal that cannot be written.
func advice(err error) string {
	switch {
	case errors.Is(err, journal.ErrFull):
		return "; make room on its file system"
	case errors.Is(err, journal.ErrReadOnly):
		return "; make its file system writable again"
	}
	return ""
}

// failing tells for how long nothing could be kept; 0 while it can.
func (k *keeper) failing() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return age(k.since)
}

// failingMinor tells for how long no minor record could be kept; 0 while they can.
func (k *keeper) failingMinor() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return age(k.minor)
}

// age is the time since something began; 0 for what has not.
func age(since time.Time) time.Duration {
	if since.IsZero() {
		return 0
	}
	return time.Since(since)
}
