package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/kmodtrace/kmodtrace/account"
	"github.com/kmodtrace/kmodtrace/internal/memory"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// Service watches, records and passes on.
type Service struct {
	log    *zerolog.Logger
	path   string // of the configuration
	config *Config

	tracer   *tracer.Tracer
	journal  *journal.Journal
	recorder recorder
	inquiry  *account.Inquiry
	keeper   *keeper
	metrics  *metrics
	system   systemd
	began    bool        // that is recorded
	noted    tracer.Loss // what of it is recorded
	unkept   int         // attempts that could not be recorded in the end
	damaged  chan error  // that the journal is, found by whoever reads it

	reloaded    chan struct{} // the configuration is
	verifyEvery atomic.Int64  // a time.Duration
	problems    atomic.Int64  // that were found when the journal was last verified

	mu         sync.Mutex
	deliveries []*delivery
}

// bootID is where the kernel names its run.
const bootID = "/proc/sys/kernel/random/boot_id"

// Run serves by the configuration of that path until ctx is done, and reads it again on
// each reload. It returns when all that had ended is recorded and nothing is attached.
//
// An error that comes before the service is ready says what is missing: privilege, a
// kernel that can be traced, the journal.
func Run(ctx context.Context, path string, reload <-chan os.Signal, log *zerolog.Logger) error {
	config, err := Load(path)
	if err != nil {
		return err
	}
	for {
		began := time.Now()
		err := run(ctx, path, config, reload, log)
		if !errors.Is(err, journal.ErrCorrupt) || ctx.Err() != nil || time.Since(began) < leastRun {
			return err
		}
		log.Error().Msgf("%v: beginning anew", err)
		if again, err := Load(path); err == nil { // it may have been reloaded
			config = again
		}
	}
}

// leastRun is how long a service must have run for a damaged journal to be set aside while
// it lives: a disk that damages one after the other is for somebody to look at.
const leastRun = 10 * time.Second

// run serves with one journal.
func run(ctx context.Context, path string, config *Config, reload <-chan os.Signal, log *zerolog.Logger) error {
	s := &Service{log: log, path: path, config: config, system: newSystemd(), damaged: make(chan error, 1), reloaded: make(chan struct{}, 1)}
	s.verifyEvery.Store(int64(config.Journal.VerifyEvery))
	if err := s.open(ctx); err != nil {
		return errors.Join(err, s.close())
	}
	err := s.serve(ctx, reload)
	return errors.Join(err, s.close())
}

// open takes what the service needs, the hooks last: from then on everything counts.
func (s *Service) open(ctx context.Context) error {
	memory.Frugal()
	text, err := os.ReadFile(bootID)
	if err != nil {
		return fmt.Errorf("which run of the kernel this is: %w", err)
	}
	s.recorder = recorder{boot: strings.TrimSpace(string(text))}
	k, err := kernel.Open(nil)
	if err != nil {
		return err
	}
	s.inquiry = account.NewInquiry(k, false)
	kept, err := s.openJournal()
	if err != nil {
		return err
	}
	backend, err := tracer.ParseBackend(s.config.Backend)
	if err != nil {
		return err
	}
	if s.tracer, err = tracer.Open(&tracer.Options{Backend: backend}); err != nil {
		return err
	}
	s.keeper = newKeeper(s.journal, s.log)
	s.metrics = newMetrics(s)
	if err := s.metrics.listen(s.config.Metrics); err != nil {
		return err
	}
	head, err := s.begin(ctx, kept)
	if errors.Is(err, journal.ErrCorrupt) { // opening it reads little of it
		if kept, err = s.setAside(err); err == nil {
			s.keeper = newKeeper(s.journal, s.log)
			head, err = s.begin(ctx, kept)
		}
	}
	if err != nil {
		return err
	}
	s.began = true
	memory.Release()
	return s.deliver(ctx, head)
}

// openJournal sets a damaged journal aside, and says where.
func (s *Service) openJournal() (kept string, err error) {
	path := s.config.Journal.Path
	s.journal, err = journal.Open(path, nil)
	if !errors.Is(err, journal.ErrCorrupt) {
		return "", err
	}
	return s.setAside(err)
}

// setAside puts a damaged journal aside, opens a new one, and says where the old one is.
func (s *Service) setAside(why error) (kept string, err error) {
	s.log.Error().Msgf("%v: it is kept aside, and a new one begins", why)
	if s.journal != nil {
		if err := s.journal.Close(); err != nil {
			s.log.Error().Msg(err.Error())
		}
		s.journal = nil
	}
	path := s.config.Journal.Path
	if kept, err = journal.SetAside(path, time.Now()); err != nil {
		return "", err
	}
	s.journal, err = journal.Open(path, nil)
	return kept, err
}

// serve does it all until ctx is done.
func (s *Service) serve(ctx context.Context, reload <-chan os.Signal) error {
	actions := make(chan *tracer.Action, inMemory)
	var readErr error
	var group sync.WaitGroup
	reading, stopReading := context.WithCancel(context.WithoutCancel(ctx))
	defer stopReading()
	group.Go(func() {
		defer close(actions)
		for a, err := range s.tracer.Actions(reading) {
			if err != nil {
				readErr = err
				return
			}
			actions <- &a
			s.metrics.queued(len(actions))
		}
	})
	chores, stopChores := context.WithCancel(ctx)
	defer stopChores()
	group.Go(func() { s.chores(chores, reload) })
	group.Go(func() { s.verifications(chores) })
	var damage error
	group.Go(func() {
		select {
		case damage = <-s.damaged:
			stopReading()
		case <-chores.Done():
		}
	})
	group.Go(func() { s.system.feed(chores, func() bool { return s.keeper.failing() < stuckAfter }) })
	context.AfterFunc(ctx, func() {
		s.system.stopping()
		stopReading()
		time.AfterFunc(stopWithin, s.keeper.giveUp)
	})
	s.system.ready()
	s.log.Info().Str("journal", s.config.Journal.Path).Msgf("watching: %d hooks attached, backend %v", attached(s.tracer.Coverage()), s.tracer.Coverage().Backend)
	err := s.record(ctx, actions)
	stopReading()
	for range actions { // so that the reading ends
		s.unkept++
	}
	if err != nil && s.unkept > 0 {
		err = fmt.Errorf("%w; %d attempts are not recorded", err, s.unkept)
	}
	stopChores()
	group.Wait()
	return errors.Join(err, readErr, damage)
}

// isDamaged tells the service that its journal's file is: it is to begin another.
func (s *Service) isDamaged(err error) {
	select {
	case s.damaged <- err:
	default: // it knows
	}
}

func attached(c tracer.Coverage) (n int) {
	for _, h := range c.Hooks {
		if h.Attached {
			n++
		}
	}
	return n
}

const (
	most = 128 // records that go into the journal at once
	// inMemory are attempts that wait to be recorded. The events of those that come
	// later wait in the tracer, in less room.
	inMemory = 1024
	// stopWithin is how long a journal that cannot be written may keep the service from
	// ending.
	stopWithin = 20 * time.Second
)

// record keeps all actions, those together that are there at once.
func (s *Service) record(ctx context.Context, actions <-chan *tracer.Action) error {
	// What has ended is recorded, also when the service is to stop.
	ctx = context.WithoutCancel(ctx)
	for a := range actions {
		batch := make([]journal.Record, 0, most)
		for a != nil {
			rec, err := s.account(ctx, a)
			if err != nil {
				return err
			}
			batch = append(batch, rec)
			a = nil
			if len(batch) < most {
				select {
				case a = <-actions:
				default:
				}
			}
		}
		if err := s.keeper.keep(batch...); err != nil {
			s.unkept += len(batch)
			return err
		}
		s.wake()
	}
	return nil
}

func (s *Service) account(ctx context.Context, a *tracer.Action) (journal.Record, error) {
	whole := s.inquiry.All(ctx, a)
	s.metrics.count(&whole)
	return s.recorder.action(&whole)
}

// close gives everything back: the hooks first, then what was seen is said to be all.
func (s *Service) close() error {
	var errs []error
	if s.tracer != nil {
		errs = append(errs, s.tracer.Close())
	}
	if s.began {
		errs = append(errs, s.end())
		s.anchor(context.Background(), 0)
	}
	s.stopDeliveries()
	if s.metrics != nil {
		errs = append(errs, s.metrics.close())
	}
	if s.journal != nil {
		errs = append(errs, s.journal.Close())
	}
	return errors.Join(errs...)
}
