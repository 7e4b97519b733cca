package service

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/tracer"
)

const (
	lossEvery      = time.Second
	retentionEvery = 10 * time.Minute
)

// chores are what is done beside recording, by the clock and on a reload. Each has a
// goroutine of its own: what one waits for, as a system log that nobody reads, a slow disk
// or a mount that does not answer, holds up no other.
func (s *Service) chores(ctx context.Context, group *sync.WaitGroup, reload <-chan os.Signal) {
	group.Go(func() { s.everySecond(ctx) })
	group.Go(func() { s.measurements(ctx) })
	group.Go(func() { s.retentions(ctx) })
	group.Go(func() { s.anchors(ctx) })
	group.Go(func() { s.verifications(ctx) })
	group.Go(func() { s.comparisons(ctx) })
	group.Go(func() { s.reloads(ctx, reload) })
	group.Go(func() { s.runChecks(ctx) })
	group.Go(func() { s.runSelfTests(ctx) })
	group.Go(func() { s.system.feed(ctx, s.well) })
}

// every calls f again and again until ctx is done. Where that takes long it is called less
// often: on a busy machine what is done by the clock would leave recording no time.
func every(ctx context.Context, interval time.Duration, f func()) {
	pause := interval
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
			began := time.Now()
			f()
			pause = max(interval, min(restFor*time.Since(began), longestRest))
		}
	}
}

const (
	// restFor is how much longer a chore rests than it took.
	restFor = 10
	// longestRest bounds that: a disk that is slow for a moment says nothing about the next.
	longestRest = 10 * time.Second
)

// everySecond asks what was lost, folded and disturbed. What it does takes no longer than
// an append to the journal.
func (s *Service) everySecond(ctx context.Context) {
	clock := newClock()
	every(ctx, lossEvery, func() {
		s.checkLoss()
		s.checkClock(&clock)
		s.checkDisturbances(s.tracer.Disturbances())
		s.checkFolded()
		s.keepFolds(false)
	})
}

// checkFolded adds what the kernel side counted to the folds.
func (s *Service) checkFolded() {
	counts, err := s.tracer.Folded()
	if err != nil {
		s.log.Error().Msgf("what was folded: %v", err)
		return
	}
	s.folds.addKernel(counts, time.Now(), tracer.SinceBoot())
}

// keepFolds records the folds that are due; all where the service ends.
func (s *Service) keepFolds(all bool) {
	due := s.folds.take(all)
	for i, d := range due {
		r, err := s.recorder.fold(d)
		if err == nil {
			err = s.keeper.tryMinor(r)
		}
		if err != nil {
			for _, d := range due[i:] {
				s.folds.putBack(d) // they go on counting
			}
			return
		}
	}
	if len(due) > 0 {
		s.wake()
	}
}

// measurements keeps at hand how large the journal is, so that who asks for that disturbs
// nobody.
func (s *Service) measurements(ctx context.Context) {
	every(ctx, time.Second, func() { s.measure(ctx) })
}

func (s *Service) measure(ctx context.Context) {
	size, err := s.journal.Size(ctx)
	if err != nil {
		return // verification says what is wrong with it
	}
	s.size.Store(&size)
	if s.journal.Due() {
		signal(s.retainIt)
	}
}

// stuckAfter is when the watchdog is no longer told that all is well: a disk that is
// full for a while is no reason to be restarted. A recorder that does nothing although the
// journal can be written is one after idleAfter.
const (
	stuckAfter = time.Hour
	idleAfter  = 2 * time.Minute
	// waitsLong is when an action waits for so long that the service is not healthy.
	waitsLong = 30 * time.Second
)

// well tells whether the service need not be restarted: what has ended is recorded, or
// the journal cannot be written and has not been able for long.
func (s *Service) well() bool {
	if failing := s.keeper.failing(); failing > 0 {
		return failing < stuckAfter
	}
	return s.intake.stuck() < idleAfter
}

// reserve is how many bytes of the file system stay free: with less, minor records are
// only counted, so that there is room for the others.
const reserve = 64 << 20

// setRoom tells the journal how much it may take.
func (s *Service) setRoom() {
	s.journal.SetRoom(journal.Room{Bytes: s.settings().Journal.KeepSize << 20, Reserve: reserve})
}

// retentions removes old records now and then, and as soon as there are too many: then
// often, for appends go on. What outputs have not had can be in the way of it for long.
func (s *Service) retentions(ctx context.Context) {
	for ctx.Err() == nil {
		due := s.retainIt
		if s.retain(ctx); s.journal.Due() {
			due = nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(retentionEvery):
		case <-due:
		case <-afterIf(due == nil, retainAgain):
		}
	}
}

// retainAgain is when retention is tried again where it left too much.
const retainAgain = 2 * time.Second

// afterIf is time.After, or never.
func afterIf(is bool, d time.Duration) <-chan time.Time {
	if !is {
		return nil
	}
	return time.After(d)
}

// retain removes what is older or more than the configuration says. What an output has
// not had stays, until the journal is twice as large as it may be: it can be down for
// ever.
func (s *Service) retain(ctx context.Context) {
	c := s.settings().Journal
	if c.KeepFor == 0 && c.KeepSize == 0 {
		return
	}
	size := c.KeepSize << 20
	for _, limits := range []journal.Limits{
		{Age: time.Duration(c.KeepFor), Bytes: size, KeepFrom: s.slowest() + 1},
		{Bytes: 2 * size},
	} {
		done, err := s.journal.Retain(ctx, limits, time.Now(), s.recorder.boot)
		switch {
		case err != nil:
			if ctx.Err() == nil {
				s.log.Error().Msg(err.Error())
			}
		case done.Records > 0:
			s.log.Info().Msgf("removed the %d oldest records of the journal, through number %d", done.Records, done.Through)
			s.wake()
		}
	}
}

// slowest gives the last record that all outputs and the rules have had, and that is confirmed where an
// output asks for that; -1 where there are none of them.
func (s *Service) slowest() int64 {
	at := int64(-1)
	for _, d := range s.readers() {
		if n := d.through(); at < 0 || n < at {
			at = n
		}
	}
	return at
}

// reloads reads the configuration again on each signal.
func (s *Service) reloads(ctx context.Context, reload <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-reload:
			s.reload(ctx)
		}
	}
}

// reload reads the configuration again. What cannot be used leaves everything as it is.
func (s *Service) reload(ctx context.Context) {
	s.system.reloading()
	defer s.system.ready()
	config, err := Load(s.path)
	if err != nil {
		s.log.Error().Msgf("not reloaded: %v", err)
		return
	}
	now := s.settings()
	if config.Journal.Path != now.Journal.Path || config.Backend != now.Backend {
		s.log.Warn().Msg("another journal.path or backend needs a restart: they stay as they were")
		config.Journal.Path, config.Backend = now.Journal.Path, now.Backend
	}
	if config.Metrics != now.Metrics {
		if err := s.metrics.listen(config.Metrics); err != nil {
			s.log.Error().Msgf("not reloaded: %v", err)
			return
		}
	}
	s.mu.Lock()
	s.config = config
	s.mu.Unlock()
	s.warn(config)
	s.setRoom()
	signal(s.reloaded) // unless a verification is due already
	if size, err := s.journal.Size(ctx); err != nil {
		s.log.Error().Msgf("rules and outputs: %v", err)
	} else {
		if err := s.useRules(ctx, config.Rules, size.Last); err != nil {
			s.log.Error().Msg(err.Error())
		}
		if err := s.replaceOutputs(ctx, size.Last); err != nil {
			s.log.Error().Msgf("outputs: %v", err)
		}
	}
	signal(s.retainIt)
	s.log.Info().Msg("configuration reloaded")
}

// warn says what is dangerous in a configuration that can be used.
func (s *Service) warn(config *Config) {
	for _, text := range config.Warnings() {
		s.log.Warn().Msg(text)
	}
}

// replaceOutputs ends those that there are and starts those of the configuration, each
// from where it was.
func (s *Service) replaceOutputs(ctx context.Context, head int64) error {
	s.stopDeliveries()
	return s.deliver(ctx, head)
}
