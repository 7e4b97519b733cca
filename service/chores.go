package service

import (
	"context"
	"log/syslog"
	"os"
	"time"

	"github.com/kmodtrace/kmodtrace/journal"
)

const (
	lossEvery      = time.Second
	retentionEvery = 10 * time.Minute
)

// chores are what is done by the clock, and on a reload.
func (s *Service) chores(ctx context.Context, reload <-chan os.Signal) {
	everySecond := time.NewTicker(lossEvery)
	defer everySecond.Stop()
	retention := time.NewTicker(retentionEvery)
	defer retention.Stop()
	anchor := time.NewTimer(time.Duration(s.config.Journal.AnchorEvery))
	defer anchor.Stop()
	clock := newClock()
	told := s.anchor(ctx, 0) // the record that the last anchor was of
	s.retain(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-everySecond.C:
			s.checkLoss()
			s.checkClock(&clock)
		case <-retention.C:
			s.retain(ctx)
		case <-anchor.C:
			told = s.anchor(ctx, told)
			anchor.Reset(time.Duration(s.config.Journal.AnchorEvery))
		case <-reload:
			s.reload(ctx)
		}
	}
}

// stuckAfter is when the watchdog is no longer told that all is well: a disk that is
// full for a while is no reason to be restarted.
const stuckAfter = time.Hour

// retain removes what is older or more than the configuration says. What an output has
// not had stays, until the journal is twice as large as it may be: it can be down for
// ever.
func (s *Service) retain(ctx context.Context) {
	c := s.config.Journal
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
			s.log.Error().Msg(err.Error())
		case done.Records > 0:
			s.log.Info().Msgf("removed the %d oldest records of the journal, through number %d", done.Records, done.Through)
			s.wake()
		}
	}
}

// slowest gives the last record that all outputs have had; -1 where there is no output.
func (s *Service) slowest() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := int64(-1)
	for _, d := range s.deliveries {
		if n := d.at.Load(); at < 0 || n < at {
			at = n
		}
	}
	return at
}

// anchor tells the journal's head to the system log, if it is another than it told last:
// when the watching begins, now and then, and when it ends.
func (s *Service) anchor(ctx context.Context, told int64) int64 {
	a, err := s.journal.Anchor(ctx, time.Now())
	if err != nil || a.Count == told {
		return told
	}
	// What this process logs may be in a file beside the journal. The system's log is
	// where others keep it.
	if w, err := syslog.New(syslog.LOG_AUTHPRIV|syslog.LOG_NOTICE, "kmodtrace"); err == nil {
		err = w.Notice("anchor " + a.String())
		_ = w.Close()
		if err == nil {
			return a.Count
		}
	}
	s.log.Info().Msg("anchor " + a.String())
	return a.Count
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
	if config.Journal.Path != s.config.Journal.Path || config.Backend != s.config.Backend {
		s.log.Warn().Msg("another journal.path or backend needs a restart: they stay as they were")
		config.Journal.Path, config.Backend = s.config.Journal.Path, s.config.Backend
	}
	if config.Metrics != s.config.Metrics {
		if err := s.metrics.listen(config.Metrics); err != nil {
			s.log.Error().Msgf("not reloaded: %v", err)
			return
		}
	}
	s.config = config
	s.verifyEvery.Store(int64(config.Journal.VerifyEvery))
	select {
	case s.reloaded <- struct{}{}:
	default: // a verification is due already
	}
	if err := s.replaceOutputs(ctx); err != nil {
		s.log.Error().Msgf("outputs: %v", err)
	}
	s.retain(ctx)
	s.log.Info().Msg("configuration reloaded")
}

// replaceOutputs ends those that there are and starts those of the configuration, each
// from where it was.
func (s *Service) replaceOutputs(ctx context.Context) error {
	size, err := s.journal.Size(ctx)
	if err != nil {
		return err
	}
	s.stopDeliveries()
	return s.deliver(ctx, size.Last)
}
