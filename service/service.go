package service

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/kmodtrace/kmodtrace/copies"
	"github.com/kmodtrace/kmodtrace/internal/memory"
	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// Service watches, records and passes on.
type Service struct {
	log  *zerolog.Logger
	path string // of the configuration

	tracer   watcher
	journal  *journal.Journal
	recorder recorder
	folds    *folds
	intake   *intake
	asker    *asker
	keeper   *keeper
	census   *census
	lasting  lasting
	watched  watched
	checks   checks
	filtered func() bool   // seccompFiltered, but in tests
	copies   *copies.Store // of modules' files; nil where none are kept
	// copiesError is why there is none.
	copiesError error
	metrics     *metrics
	system      systemd
	began       bool        // that is recorded
	noted       tracer.Loss // what of it is recorded
	unkept      int         // attempts that could not be recorded in the end
	damaged     chan error  // that the journal is, found by whoever reads it

	reloaded chan struct{} // the configuration is: for verifications
	retainIt chan struct{} // retention is due
	lookAtIt chan struct{} // the modules are to be compared
	problems atomic.Int64  // that were found when the journal was last verified
	size     atomic.Pointer[journal.Size]

	mu         sync.Mutex
	config     *Config
	deliveries []*delivery
	finding    *delivery // what the rules find
	rulesError error     // why those of the configuration are not used
}

// watcher is what a service needs of a [tracer.Tracer].
type watcher interface {
	ActionsPending(ctx context.Context, after time.Duration) iter.Seq2[tracer.Action, error]
	Backlog() int
	Coverage() tracer.Coverage
	Loss() (tracer.Loss, error)
	Folded() ([]tracer.Folded, error)
	Disturbances() []tracer.Disturbance
	SelfTest(ctx context.Context) error
	Image(id tracer.ID) ([]byte, error)
	DropImage(id tracer.ID)
	Close() error
}

// settings gives the configuration that holds now.
func (s *Service) settings() *Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config
}

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
		log.Error().Msgf("%v: starting a new one", err)
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
	s := newService(path, config, log)
	s.warn(config)
	if err := s.open(ctx); err != nil {
		return errors.Join(err, s.close())
	}
	err := s.serve(ctx, reload)
	return errors.Join(err, s.close())
}

// newService makes one that has nothing open yet.
func newService(path string, config *Config, log *zerolog.Logger) *Service {
	s := &Service{
		log: log, path: path, config: config, system: newSystemd(), census: newCensus(), folds: newFolds(), filtered: seccompFiltered,
		damaged: make(chan error, 1), reloaded: make(chan struct{}, 1), retainIt: make(chan struct{}, 1), lookAtIt: make(chan struct{}, 1),
	}
	s.intake = newIntake(s.folds)
	return s
}

// open takes what the service needs, the hooks last: from then on everything counts.
func (s *Service) open(ctx context.Context) error {
	memory.Frugal()
	boot, err := procfs.BootID("/")
	if err != nil {
		return fmt.Errorf("which run of the kernel this is: %w", err)
	}
	s.recorder = recorder{boot: boot}
	k, err := kernel.Open(nil)
	if err != nil {
		return err
	}
	s.asker = newAsker(func() inquiry {
		q := record.NewInquiry(k, false)
		q.Keep = s.keepFile
		return q
	})
	kept, err := s.openJournal()
	if err != nil {
		return err
	}
	s.openCopies()
	backend, err := tracer.ParseBackend(s.settings().Backend)
	if err != nil {
		return err
	}
	t, err := tracer.Open(&tracer.Options{Backend: backend, Images: s.copies != nil})
	if err != nil {
		return err
	}
	s.tracer = t
	s.keeper = newKeeper(s.journal, s.log)
	s.metrics = newMetrics(s)
	if err := s.metrics.listen(s.settings().Metrics); err != nil {
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
	s.measure(ctx)
	memory.Release()
	if err := s.useRules(ctx, s.settings().Rules, head); err != nil {
		return err
	}
	return s.deliver(ctx, head)
}

// openJournal sets a damaged journal aside, and says where.
func (s *Service) openJournal() (kept string, err error) {
	path := s.settings().Journal.Path
	s.journal, err = journal.Open(path, nil)
	if !errors.Is(err, journal.ErrCorrupt) {
		if err == nil {
			s.setRoom()
		}
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
	path := s.settings().Journal.Path
	if kept, err = journal.SetAside(path, time.Now()); err != nil {
		return "", err
	}
	if s.journal, err = journal.Open(path, nil); err == nil {
		s.setRoom()
	}
	return kept, err
}

// serve does it all until ctx is done.
func (s *Service) serve(ctx context.Context, reload <-chan os.Signal) error {
	var readErr, damage error
	var group, others sync.WaitGroup
	reading, stopReading := context.WithCancel(context.WithoutCancel(ctx))
	defer stopReading()
	group.Go(func() {
		defer s.intake.end()
		readErr = s.read(reading)
	})
	chores, stopChores := context.WithCancel(ctx)
	defer stopChores()
	s.chores(chores, &others, reload)
	group.Go(func() {
		select {
		case damage = <-s.damaged:
			stopReading()
		case <-chores.Done():
		}
	})
	context.AfterFunc(ctx, func() {
		s.system.stopping()
		stopReading()
		time.AfterFunc(stopWithin, s.keeper.giveUp)
	})
	s.system.ready()
	s.log.Info().Str("journal", s.settings().Journal.Path).Msgf("watching: %d hooks attached, backend %v", attached(s.tracer.Coverage()), s.tracer.Coverage().Backend)
	err := s.record(ctx)
	stopReading()
	stopChores()
	group.Wait()
	s.await(&others)
	if s.unkept += s.intake.lostSince(); err != nil && s.unkept > 0 {
		err = fmt.Errorf("%w; %d attempts are not recorded", err, s.unkept)
	}
	return errors.Join(err, readErr, damage)
}

// await waits for what goes on beside recording, but not for what the system holds up.
func (s *Service) await(group *sync.WaitGroup) {
	ended := make(chan struct{})
	go func() {
		group.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(endWithin):
		s.log.Error().Msgf("something still waits for the system after %v: it is left", endWithin)
	}
}

// read takes each action to where it waits to be recorded.
func (s *Service) read(ctx context.Context) error {
	for a, err := range s.tracer.ActionsPending(ctx, tracer.PendingAfter) {
		if err != nil {
			return err
		}
		if !s.lasting.saw(&a) {
			continue
		}
		if !a.Preliminary {
			s.census.saw(&a)
			s.checks.saw(&a)
		}
		s.intake.put(&a)
	}
	return nil
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
	// batchWithin is how long the first of them waits for the others: looking into one can
	// take seconds.
	batchWithin = 200 * time.Millisecond
	// stopWithin is how long a journal that cannot be written may keep the service from
	// ending.
	stopWithin = 20 * time.Second
	// minorWithin is how long finding out about a minor action may take.
	minorWithin = 2 * time.Second
	// endWithin is how long what is done beside recording has to end.
	endWithin = 10 * time.Second
	// hurryBacklog is how much may wait in the tracer, in bytes, before attempts that changed
	// nothing are recorded without being looked into: events are lost soon.
	hurryBacklog = 8 << 20
)

// batch are records that go into the journal together.
type batch struct {
	records []journal.Record
	// minor ones are written if they can be, and else counted.
	minor  []journal.Record
	minors []minor
}

func (b *batch) len() int { return len(b.records) + len(b.minor) }

// record keeps all actions, those together that are there at once.
func (s *Service) record(ctx context.Context) error {
	// What has ended is recorded, also when the service is to stop.
	ctx = context.WithoutCancel(ctx)
	for {
		w, ok := s.intake.take()
		if !ok {
			return nil
		}
		var b batch
		for until := time.Now().Add(batchWithin); ok; w, ok = s.intake.poll(&w) {
			if err := s.explain(ctx, &w, &b); err != nil {
				return s.leave(&b, 1, err)
			}
			if b.len() >= most || !time.Now().Before(until) {
				break
			}
		}
		if len(b.records) > 0 {
			if err := s.keeper.keep(b.records...); err != nil {
				return s.leave(&b, 0, err)
			}
		}
		s.keepMinor(&b)
		s.intake.recorded()
		if s.journal.Due() {
			signal(s.retainIt)
		}
		s.wake()
	}
}

// leave counts what is not recorded in the end.
func (s *Service) leave(b *batch, more int, err error) error {
	s.unkept += len(b.records) + more + s.intake.leave()
	b.count(s.folds)
	return err
}

// keepMinor writes the minor records, or counts them where it cannot: they wait for
// nothing, so that others need not wait for them.
func (s *Service) keepMinor(b *batch) {
	if len(b.minor) > 0 && s.keeper.tryMinor(b.minor...) != nil {
		b.count(s.folds)
	}
}

// count counts the minor records instead of writing them.
func (b *batch) count(f *folds) {
	for i := range b.minors {
		f.add(&b.minors[i], notWritten)
	}
}

// explain looks into an action, and adds its record to a batch.
func (s *Service) explain(ctx context.Context, w *waiting, b *batch) error {
	m, isMinor := minorOf(w.action)
	var whole record.Record
	if why := s.hurry(w); why != "" {
		whole = unasked(w.action, why)
	} else {
		whole = s.look(ctx, w.action, isMinor)
	}
	s.metrics.count(&whole)
	redaction(s.settings().Redact).record(&whole)
	r, err := s.recorder.action(&whole)
	switch {
	case err != nil:
		return err
	case isMinor:
		r.Class = journal.ClassMinor
		b.minor, b.minors = append(b.minor, r), append(b.minors, m)
	default:
		b.records = append(b.records, r)
	}
	return nil
}

// look finds out about an action. A minor one gets less time: others wait behind it.
func (s *Service) look(ctx context.Context, a *tracer.Action, isMinor bool) record.Record {
	if isMinor {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, minorWithin)
		defer cancel()
	}
	return s.asker.ask(ctx, a)
}

// hurry says why there is no time to look into an action; it is empty if there is.
func (s *Service) hurry(w *waiting) string {
	if w.hurry == "" && !changes(w.action) && s.tracer.Backlog() > hurryBacklog {
		return "too many attempts waited"
	}
	return w.hurry
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
	s.stopFinding()
	s.stopDeliveries()
	if s.metrics != nil {
		errs = append(errs, s.metrics.close())
	}
	if s.journal != nil {
		errs = append(errs, s.journal.Close())
	}
	return errors.Join(errs...)
}
