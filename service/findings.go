package service

import (
	"context"
	"fmt"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/jsonline"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/output"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/rule"
)

// findingsName is that of the cursor of what the rules find.
const findingsName = "findings"

// keepFindingsEvery is how often it is written into the journal how far the rules have come. It need not be
// after each record: what is found again in one is recorded already.
const keepFindingsEvery = 10 * time.Second

// findings looks for what the rules find in the journal's records, and records that. It is an output: so
// it is given each record once it is in the journal, goes on after a restart from where it was, and
// holds up no record. A finding's id comes from its record's and its rule's, so that none is there
// twice however often a record is given to it.
type findings struct {
	service *Service
	rules   *rule.Set
	memory  *rule.Findings
	through int64    // the last record that was looked at
	waiting []raised // what was found and could not be recorded yet
}

func (f *findings) Name() string { return findingsName }
func (f *findings) Close() error { return nil }

// remember has the rules look at the records up to one, for what they remember of them. What they find there was
// recorded when they were new, or is from before the rules were there. Where the context ends before that, it goes
// on the next time.
func (f *findings) remember(ctx context.Context, through int64) error {
	filter := journal.Filter{Kinds: []journal.Kind{journal.KindAction}, OldestFirst: true, From: f.through + 1, Through: through}
	for r, err := range f.service.journal.Query(ctx, filter) {
		if err != nil && r.Seq == 0 {
			return fmt.Errorf("what the rules remember: %w", err)
		}
		f.through = r.Seq
		if e := entryOf(&r); err == nil && e.Known != nil {
			f.add(&e)
		}
	}
	f.through = through
	return nil
}

// add gives what is found in a record.
func (f *findings) add(e *output.Entry) []rule.Finding {
	a := *e.Known
	a.Time = e.Time // where the record has none, as history has it
	found, stopped := f.memory.Add(&a)
	if stopped != nil {
		f.service.log.Error().Msg(stopped.Error())
	}
	return found
}

// Send looks at records, in their order. The rules remember them: so what is sent again, because what was
// found could not be recorded, is not looked at again.
func (f *findings) Send(ctx context.Context, entries []output.Entry) error {
	if before := entries[0].Seq - 1; f.through < before {
		if err := f.remember(ctx, before); err != nil {
			return err
		}
	}
	for i := range entries {
		e := &entries[i]
		if e.Seq <= f.through {
			continue
		}
		f.through = e.Seq
		if e.Kind != journal.KindAction || e.Known == nil {
			continue
		}
		for _, finding := range f.add(e) {
			r, err := raise(&finding, &e.Record)
			if err != nil {
				return err
			}
			f.waiting = append(f.waiting, r)
		}
	}
	if err := f.service.keepFindings(f.waiting...); err != nil {
		return err
	}
	f.waiting = nil
	return nil
}

// raised is a finding and its record.
type raised struct {
	*rule.Finding
	record journal.Record
}

// raise makes the record of what was found in another one.
func raise(f *rule.Finding, of *journal.Record) (raised, error) {
	f.Record = of.ID
	r := journal.Record{
		ID: of.ID + "-" + f.Rule, Time: of.Time, Boot: of.Boot, Kind: journal.KindFinding,
		Module: of.Module, Outcome: string(f.Severity), Cause: f.Rule, User: of.User, UID: of.UID, Container: of.Container, File: of.File, Content: of.Content,
	}
	if of.Class == journal.ClassMinor { // anybody can cause as many as the machine carries
		r.Class = journal.ClassNormal
	}
	var err error
	r.Body, err = jsonline.Marshal(f)
	return raised{f, r}, err
}

// keepFindings records findings, and counts those that are new.
func (s *Service) keepFindings(found ...raised) error {
	if len(found) == 0 {
		return nil
	}
	records := make([]journal.Record, len(found))
	for i := range found {
		records[i] = found[i].record
	}
	done, err := s.keeper.try(records...)
	if err != nil {
		return err
	}
	for i, d := range done {
		if !d.Repeated {
			s.metrics.found(found[i].Finding)
		}
	}
	s.wake()
	return nil
}

// findWith has rules look at the records, from the first one on that they have not seen. Where there were none
// before, that is the one after head.
func (s *Service) findWith(ctx context.Context, rules *rule.Set, head int64) error {
	at, err := s.beginning(ctx, findingsName, head)
	if err != nil {
		return err
	}
	// From now on what is recorded is looked at, also by a service that is started after this one was killed.
	if at > 0 {
		if err := s.journal.SetCursor(ctx, findingsName, at); err != nil {
			return err
		}
	}
	d := s.start(ctx, &findings{service: s, rules: rules, memory: rules.Begin()}, at, keepFindingsEvery)
	s.mu.Lock()
	s.finding = d
	s.mu.Unlock()
	return nil
}

// useRules reads the rules, and uses them where they are others than those in use. Where they cannot be
// used, those in use stay, or else those that are built in: what happens is to be seen all the same.
func (s *Service) useRules(ctx context.Context, config RulesConfig, head int64) error {
	rules, err := config.Load()
	s.mu.Lock()
	s.rulesError = err
	before := s.finding
	s.mu.Unlock()
	switch {
	case err != nil && before != nil:
		s.log.Error().Msgf("%v; the rules stay as they were", err)
		return nil
	case err != nil:
		s.log.Error().Msgf("%v; only the rules that are built in are used", err)
		if rules, err = rule.Builtin(); err != nil {
			return err
		}
	}
	if before != nil {
		if before.output.(*findings).rules.Equal(rules) {
			return nil
		}
		s.stopFinding()
	}
	s.log.Info().Msgf("%d rules are in use", len(rules.Rules()))
	return s.findWith(ctx, rules, head)
}

// rulesInUse gives the rules that look at records now.
func (s *Service) rulesInUse() *rule.Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finding == nil {
		return new(rule.Set)
	}
	return s.finding.output.(*findings).rules
}

// stopFinding lets the rules look at what is there, for a short time.
func (s *Service) stopFinding() {
	s.mu.Lock()
	d := s.finding
	s.finding = nil
	s.mu.Unlock()
	if d != nil {
		d.finish(lastWithin)
	}
}

// entryWith is what outputs see of a record; of a finding also the action in which it was found.
func entryWith(ctx context.Context, j *journal.Journal, r *journal.Record) output.Entry {
	e := entryOf(r)
	if e.Finding == nil || e.Finding.Record == "" {
		return e
	}
	if of, err := j.Get(ctx, e.Finding.Record); err == nil {
		if a, err := record.Parse(of.Body); err == nil {
			e.Known = a
		}
	}
	return e
}
