package service

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// begin records that the watching began, how the one before it ended, and what is in the
// kernel already: loaded before anybody looked, by whom is not known. It gives the
// number of the last record before.
func (s *Service) begin(ctx context.Context, kept string) (head int64, err error) {
	size, err := s.journal.Size(ctx)
	if err != nil {
		return 0, err
	}
	now := time.Now()
	say := func(kind journal.Kind, count int64, text string) error {
		r, err := s.recorder.note(kind, now, count, note{Text: text})
		if err == nil {
			_, err = s.journal.Append(ctx, r) // a journal that cannot be written is no beginning
		}
		return err
	}
	if kept != "" {
		if err := say(journal.KindCorrupt, 0, "the journal was damaged: it is kept as "+kept); err != nil {
			return 0, err
		}
	}
	text, err := s.before(ctx)
	if err != nil {
		return 0, err
	}
	if err := say(journal.KindStarted, 0, text); err != nil {
		return 0, err
	}
	modules, err := kmod.List(nil)
	if err != nil {
		return 0, fmt.Errorf("which modules are loaded: %w", err)
	}
	if n := int64(len(modules)); n > 0 {
		// Before the inventory: what comes after that counts as unseen.
		if err := say(journal.KindLate, n, "the watching began after modules had been loaded: what is not in this journal from before is not known"); err != nil {
			return 0, err
		}
	}
	s.census.inventory(modules)
	return size.Last, s.inventory(ctx, modules)
}

// before says how the watching before this one ended.
func (s *Service) before(ctx context.Context) (string, error) {
	for r, err := range s.journal.Query(ctx, journal.Filter{Limit: 1}) {
		if err != nil {
			return "", err
		}
		at := r.Time.Format(time.DateTime)
		switch {
		case r.Kind == journal.KindStopped:
			return "the watching began; the one before it had stopped at " + at, nil
		case r.Boot != s.recorder.boot:
			return "the watching began; the one before it ended with the machine, some time after " + at, nil
		}
		return "the watching began; the one before it was killed, some time after " + at, nil
	}
	return "the watching began, for the first time in this journal", nil
}

// inventory records which modules are loaded.
func (s *Service) inventory(ctx context.Context, modules []kmod.Module) error {
	now := time.Now()
	inventory, err := s.recorder.note(journal.KindInventory, now, int64(len(modules)), note{
		Text: modulesText(len(modules)) + " loaded"})
	if err != nil {
		return err
	}
	var present []journal.Record
	for i := range modules {
		r, err := s.recorder.present(&modules[i], now)
		if err != nil {
			return err
		}
		present = append(present, r)
	}
	_, err = s.journal.AppendInventory(ctx, inventory, present)
	return err
}

// note records what is not an action, now or not at all.
func (s *Service) note(kind journal.Kind, at time.Time, count int64, n note) error {
	r, err := s.recorder.note(kind, at, count, n)
	if err != nil {
		return err
	}
	if _, err := s.keeper.try(r); err != nil {
		return err
	}
	s.wake()
	return nil
}

// end records what was lost and counted last, and that the watching ended.
func (s *Service) end() error {
	s.checkLoss()
	if s.watched.inventoryDue.Swap(false) {
		if err := s.takeInventory(context.Background()); err != nil {
			s.log.Error().Msgf("which modules are loaded: %v", err)
		}
	}
	s.checkFolded()
	s.checkDisturbances(s.tracer.Disturbances())
	return s.ending()
}

func (s *Service) ending() error {
	s.keepFolds(true)
	if s.unkept > 0 {
		text := fmt.Sprintf("%d attempts could not be recorded", s.unkept)
		if err := s.note(journal.KindLost, time.Now(), int64(s.unkept), note{Text: text}); err != nil {
			return err
		}
	}
	return s.note(journal.KindStopped, time.Now(), 0, note{Text: "the watching ended"})
}

// checkLoss says what was lost since it was last called, and records what was lost since
// it last could.
func (s *Service) checkLoss() {
	now, err := s.tracer.Loss()
	if err != nil {
		s.log.Error().Msgf("what was lost: %v", err)
		return
	}
	was := s.metrics.loss(now)
	if total(now) > total(was) {
		s.log.Warn().Msg(lossText(was, now))
	}
	lost := total(now) - total(s.noted)
	if lost <= 0 || s.note(journal.KindLost, time.Now(), lost, note{Text: lossText(s.noted, now), Loss: &now}) != nil {
		return
	}
	s.noted = now
	// From there on it is known again what is loaded.
	s.watched.inventoryDue.Store(true)
	signal(s.lookAtIt)
}

func lossText(was, now tracer.Loss) string {
	return fmt.Sprintf("lost %d events, %d untracked attempts, %d probe runs and %d unfinished actions", now.Events-was.Events,
		now.Untracked-was.Untracked, now.Missed-was.Missed, now.Dropped-was.Dropped)
}

func total(l tracer.Loss) int64 { return int64(l.Events + l.Untracked + l.Missed + l.Dropped) }

// clock finds steps of the machine's clock: the time of day against the time since boot,
// which nobody sets.
type clock struct{ offset time.Duration }

// leastStep is what a clock that is only being slewed does not do in a second.
const leastStep = time.Second

func newClock() clock { return clock{offset()} }

// offset gives how far the machine's clock is ahead of the time since boot. The two are read one
// after the other, and a busy machine lets others run meanwhile: the closest readings count.
func offset() (ahead time.Duration) {
	const readings = 5
	closest := time.Duration(math.MaxInt64)
	for range readings {
		before := tracer.SinceBoot()
		now := time.Duration(time.Now().UnixNano())
		if between := tracer.SinceBoot() - before; between < closest {
			closest, ahead = between, now-before
		}
	}
	return ahead
}

// step gives by how much the clock was set since it was last asked; 0 if it was not.
func (c *clock) step() time.Duration {
	now := offset()
	by := now - c.offset
	c.offset = now
	if by.Abs() < leastStep {
		return 0
	}
	return by
}

func (s *Service) checkClock(c *clock) {
	by := c.step()
	if by == 0 {
		return
	}
	way := "forward"
	if by < 0 {
		way = "back"
	}
	text := fmt.Sprintf("the clock was set %s by %v", way, by.Abs().Round(time.Millisecond))
	if s.note(journal.KindClock, time.Now(), 0, note{Text: text}) != nil {
		c.offset -= by // to be said when it can be
	}
}

func modulesText(n int) string {
	if n == 1 {
		return "1 module was"
	}
	return fmt.Sprintf("%d modules were", n)
}
