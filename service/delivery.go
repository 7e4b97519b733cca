package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/kmodtrace/kmodtrace/internal/jsonline"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/output"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/rule"
)

// delivery passes the journal's records on to one output, in order, from where it was:
// each at least once.
type delivery struct {
	output  output.Output
	journal *journal.Journal
	log     zerolog.Logger
	damaged func(error)   // tells that the journal's file is
	news    chan struct{} // there may be more in the journal
	stop    context.CancelFunc
	done    chan struct{}

	// kept is when its place was last written into the journal, which is not done more often than each
	// keepEvery. What comes after that is sent again after a crash.
	kept      time.Time
	keepEvery time.Duration

	at     atomic.Int64 // the last record that it has
	failed atomic.Int64 // tries in a row
	missed atomic.Int64 // records that retention removed before it had them

	one     oneAtATime
	confirm *confirmation // nil where who takes records is trusted
}

const (
	atOnce      = 100 // records
	sendWithin  = 30 * time.Second
	firstWait   = time.Second
	longestWait = time.Minute
	// How long outputs have for the last records when the service stops. What they did
	// not take they get when it starts again.
	lastWithin = 5 * time.Second
)

// deliver starts the outputs of the configuration. One that is new begins after head.
func (s *Service) deliver(ctx context.Context, head int64) error {
	var started []*delivery
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.deliveries = started
	}()
	config := s.settings()
	for i, c := range config.Outputs {
		o, err := c.Open(output.Surroundings{
			Journal: s.journal.Name(),
			Others:  config.others(i),
			Warn:    func(text string) { s.log.Warn().Str("output", c.Label()).Msg(text) },
		})
		if err != nil {
			return err
		}
		at, err := s.beginning(ctx, o.Name(), head)
		if err != nil {
			return err
		}
		d := s.newDelivery(o, at, 0)
		if c.Confirm != nil {
			if d.confirm, err = newConfirmation(d, c.Confirm); err != nil {
				return err
			}
			d.confirm.outlook = s.outlook
		}
		d.start(ctx)
		started = append(started, d)
	}
	return nil
}

// newDelivery passes on to an output what comes after a record. It does nothing before it is started.
func (s *Service) newDelivery(o output.Output, at int64, keepEvery time.Duration) *delivery {
	d := &delivery{
		output: o, journal: s.journal, log: s.log.With().Str("output", o.Name()).Logger(), damaged: s.isDamaged,
		news: make(chan struct{}, 1), done: make(chan struct{}), keepEvery: keepEvery,
	}
	d.at.Store(at)
	return d
}

// start makes a delivery and starts it.
func (s *Service) start(ctx context.Context, o output.Output, at int64, keepEvery time.Duration) *delivery {
	d := s.newDelivery(o, at, keepEvery)
	d.start(ctx)
	return d
}

// start goes on until the delivery is stopped.
func (d *delivery) start(ctx context.Context) {
	ctx, d.stop = context.WithCancel(context.WithoutCancel(ctx))
	var group sync.WaitGroup
	group.Go(func() { d.run(ctx) })
	if d.confirm != nil {
		d.confirm.begin(ctx, d.at.Load())
		group.Go(func() { d.confirm.run(ctx) })
	}
	go func() {
		defer close(d.done)
		group.Wait()
	}()
}

// beginning gives the last record that an output has had. Where its cursor is wrong, that is
// not known: the output gets all records again, because one that comes twice can be
// recognized and one that is missing cannot.
func (s *Service) beginning(ctx context.Context, name string, head int64) (int64, error) {
	at, err := s.journal.Cursor(ctx, name)
	switch {
	case errors.Is(err, journal.ErrCursor):
	case err == nil && at == 0:
		return head, nil
	default:
		return at, err
	}
	s.log.Error().Str("output", name).Msgf("%v; it gets all records again", err)
	text := fmt.Sprintf("an output's place in the journal was wrong: %v; it gets all records again", err)
	if err := s.note(journal.KindCorrupt, time.Now(), 1, note{Text: text}); err != nil {
		s.log.Error().Msg(err.Error()) // the output does not wait for that
	}
	size, err := s.journal.Size(ctx)
	return max(size.First-1, 0), err
}

// wake tells all outputs that there is more.
func (s *Service) wake() {
	for _, d := range s.readers() {
		select {
		case d.news <- struct{}{}:
		default:
		}
	}
}

// readers are all that read on in the journal: the outputs and the rules.
func (s *Service) readers() []*delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.deliveries)
	if s.finding != nil {
		all = append(all, s.finding)
	}
	return all
}

// stopDeliveries lets the outputs take what is there, for a short time.
func (s *Service) stopDeliveries() {
	s.mu.Lock()
	ended := s.deliveries
	s.deliveries = nil
	s.mu.Unlock()
	var group sync.WaitGroup
	for _, d := range ended {
		group.Go(func() { d.finish(lastWithin) })
	}
	group.Wait()
}

func (d *delivery) finish(within time.Duration) {
	late := time.After(within)
	for last := d.last(); d.at.Load() < last && d.failed.Load() == 0; {
		select {
		case <-late:
			last = 0
		case <-time.After(10 * time.Millisecond):
		}
	}
	d.stop()
	<-d.done
	if err := d.keep(context.Background()); err != nil {
		d.log.Error().Msg(err.Error())
	}
	if err := d.output.Close(); err != nil {
		d.log.Error().Msg(err.Error())
	}
}

func (d *delivery) last() int64 {
	size, err := d.journal.Size(context.Background())
	if err != nil {
		return 0
	}
	return size.Last
}

// lag is how many records it has not had.
func (d *delivery) lag() int64 { return max(d.last()-d.at.Load(), 0) }

func (d *delivery) run(ctx context.Context) {
	wait := firstWait
	for ctx.Err() == nil {
		n, err := d.pass(ctx)
		switch {
		case err != nil:
			d.fails(ctx, err, wait)
			wait = min(2*wait, longestWait)
		case n == 0:
			select {
			case <-ctx.Done():
			case <-d.news:
			}
		default:
			if d.failed.Swap(0) > 0 {
				d.log.Info().Msg("takes records again")
			}
			wait = firstWait
		}
	}
}

// fails waits before the next try. It is said once, not each time.
func (d *delivery) fails(ctx context.Context, err error, wait time.Duration) {
	if ctx.Err() != nil {
		return
	}
	if d.failed.Add(1) == 1 {
		d.log.Warn().Msgf("takes no records: %v; what it has not had stays in the journal", err)
	}
	select {
	case <-ctx.Done():
	case <-time.After(wait):
	}
}

// pass hands the next records over, and tells how many.
func (d *delivery) pass(ctx context.Context) (int, error) {
	records, err := d.journal.ReadFrom(ctx, d.at.Load()+1, atOnce)
	switch {
	case len(records) > 0:
		d.skipped(records[0].Seq)
	case errors.Is(err, journal.ErrChanged):
		// Those after it are not held up by that.
		d.log.Error().Msgf("record %d is left out: %v", d.at.Add(1), err)
		return 1, nil
	case errors.Is(err, journal.ErrCorrupt):
		d.damaged(err)
		return 0, err
	default:
		return 0, err
	}
	entries := make([]output.Entry, len(records))
	for i := range records {
		entries[i] = entryWith(ctx, d.journal, &records[i])
	}
	last := records[len(records)-1].Seq
	err = d.send(ctx, entries)
	if refused := new(output.RefusedError); errors.As(err, &refused) && refused.Seq > d.at.Load() && refused.Seq <= last {
		// It would hold up those after it for ever.
		d.log.Error().Msgf("%v; it stays in the journal", err)
		last = refused.Seq
	} else if err != nil {
		return 0, err
	}
	d.at.Store(last)
	if time.Since(d.kept) < d.keepEvery {
		return len(records), nil
	}
	return len(records), d.keep(ctx)
}

// keep writes its place into the journal. A journal that cannot be written is no fault of the output's: if
// that lasts until the end, it gets the last records again.
func (d *delivery) keep(ctx context.Context) error {
	at := d.at.Load()
	if at == 0 {
		return nil
	}
	d.kept = time.Now()
	err := d.journal.SetCursor(context.WithoutCancel(ctx), d.output.Name(), at)
	if errors.Is(err, journal.ErrFull) || errors.Is(err, journal.ErrReadOnly) {
		return nil
	}
	return err
}

// through gives the last record that retention may remove: what is not confirmed may have to be sent
// again.
func (d *delivery) through() int64 {
	if d.confirm != nil {
		return min(d.at.Load(), d.confirm.at.Load())
	}
	return d.at.Load()
}

// skipped says that retention has removed the records up to one.
func (d *delivery) skipped(first int64) {
	at := d.at.Load()
	if n := first - at - 1; n > 0 {
		d.missed.Add(n)
		d.log.Error().Msgf("records %d to %d were removed by retention before it had them", at+1, first-1)
		d.at.Store(first - 1)
	}
}

// entryOf is what outputs see of a record. A body that cannot be read is passed on as it
// is.
func entryOf(r *journal.Record) output.Entry {
	e := output.Entry{Record: *r}
	if r.Kind == journal.KindAction || r.Kind == journal.KindPending {
		if a, err := record.Parse(r.Body); err == nil {
			e.Known = a
		}
		e.Text = sentence(r)
		return e
	}
	if r.Kind == journal.KindFinding {
		f := new(rule.Finding)
		if err := jsonline.Unmarshal(r.Body, f); err == nil {
			e.Finding, e.Text = f, f.Text
			return e
		}
	}
	var n note
	_ = jsonline.Unmarshal(r.Body, &n)
	e.Text = n.Text
	switch r.Kind {
	case journal.KindPresent, journal.KindAppeared, journal.KindVanished:
		e.Text = fmt.Sprintf("%s %s", r.Module, n.Text)
	case journal.KindRetention:
		e.Text = fmt.Sprintf("the %d oldest records were removed", r.Count)
	case journal.KindThinned:
		e.Text = fmt.Sprintf("%d records that matter less than those around them were removed", r.Count)
	}
	if e.Text == "" {
		e.Text = string(r.Kind)
	}
	return e
}

// sentence says in short what an action was.
func sentence(r *journal.Record) string {
	text := fmt.Sprintf("%s of %s: %s", r.Action, r.Module, r.Outcome)
	if r.Cause != "" {
		text += ", " + r.Cause
	}
	if r.User != "" {
		text += ", by " + r.User
	}
	return text
}
