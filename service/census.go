package service

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/kmodtrace/kmodtrace/journal"

	"github.com/kmodtrace/kmodtrace/kmod"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// census knows which modules the recorded actions leave loaded, and finds where the kernel
// says otherwise: a module that nobody was seen to load, or that vanished from the
// kernel's list. It is safe for use by several goroutines.
type census struct {
	mu     sync.Mutex
	loaded map[string]bool
	// unsure are modules of which an action or an inventory does not tell how it ended: what
	// the kernel says next holds. That the end is not known is in the journal.
	unsure map[string]bool
	// unnamed counts loads and unloads whose module is not known.
	unnamed int
	touched map[string]uint64 // how often an action was about a module
	seen    uint64            // how many loads and unloads were seen
	suspect map[string]suspicion
}

// suspicion is what one look found, which the next one must find too: an action may be on
// its way from the kernel.
type suspicion struct {
	touched uint64
	there   bool
}

// difference is what the kernel says and nobody was seen to do.
type difference struct {
	module kmod.Module
	there  bool // it appeared; else it vanished
}

func newCensus() *census {
	return &census{loaded: make(map[string]bool), unsure: make(map[string]bool), touched: make(map[string]uint64), suspect: make(map[string]suspicion)}
}

// inventory takes over what the kernel says, as the journal does.
func (c *census) inventory(modules []kmod.Module) {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.loaded)
	clear(c.unsure)
	clear(c.suspect)
	c.unnamed = 0
	for i := range modules {
		m := &modules[i]
		if c.loaded[m.Name] = true; m.State == kmod.StateLoading || m.State == kmod.StateUnloading {
			c.unsure[m.Name] = true
		}
		c.touched[m.Name]++
	}
}

// saw takes an action into account that ended.
func (c *census) saw(a *tracer.Action) {
	if a.Kind == tracer.Autoload || a.Outcome == tracer.Failed && !a.Crashed {
		return
	}
	if a.Outcome == tracer.Pending && a.Call != nil && !a.Call.Capable {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen++
	if a.Module == "" {
		c.unnamed++
		return
	}
	c.touched[a.Module]++
	delete(c.unsure, a.Module)
	switch a.Outcome {
	case tracer.Live:
		c.loaded[a.Module] = true
	case tracer.Unloaded:
		delete(c.loaded, a.Module)
	default: // crashed, or its end was not seen
		c.unsure[a.Module] = true
	}
}

// look compares the kernel's list with what is known, and gives what two looks found in a
// row, each thing once. More tells that the next look is to come soon. Modules that are
// being loaded or unloaded are left for later.
func (c *census) look(modules []kmod.Module) (found []difference, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := make(map[string]*kmod.Module, len(modules))
	for i := range modules {
		now[modules[i].Name] = &modules[i]
	}
	before := c.suspect
	c.suspect = make(map[string]suspicion)
	check := func(m *kmod.Module, there bool) {
		s := suspicion{c.touched[m.Name], there}
		if old, ok := before[m.Name]; !ok || old != s {
			c.suspect[m.Name] = s
			return
		}
		known := c.unsure[m.Name]
		delete(c.unsure, m.Name)
		if !known && c.unnamed > 0 {
			c.unnamed--
			known = true
		}
		c.set(m.Name, there)
		if !known {
			found = append(found, difference{*m, there})
		}
	}
	for _, m := range now {
		if !c.loaded[m.Name] && m.State == kmod.StateLive {
			check(m, true)
		}
	}
	for name := range c.loaded {
		if now[name] == nil {
			check(&kmod.Module{Name: name}, false)
		}
	}
	// What is as it is known to be is certain again.
	for name := range c.unsure {
		m := now[name]
		if _, open := c.suspect[name]; !open && (m == nil || m.State == kmod.StateLive) {
			delete(c.unsure, name)
		}
	}
	slices.SortFunc(found, func(a, b difference) int {
		if a.module.Name < b.module.Name {
			return -1
		}
		return 1
	})
	return found, len(c.suspect) > 0
}

// known gives the modules that must be loaded: they were, and nobody was seen to unload them. Where something about
// modules is not known, none are.
func (c *census) known() map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unnamed > 0 || len(c.unsure) > 0 {
		return nil
	}
	return maps.Clone(c.loaded)
}

// events counts the loads and unloads that were seen.
func (c *census) events() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen
}

func (c *census) set(name string, there bool) {
	if there {
		c.loaded[name] = true
		return
	}
	delete(c.loaded, name)
}

const (
	// compareEvery is how often the kernel's list of modules is compared with what was
	// recorded, and confirmAfter when it is looked at again if they differ: by then the events
	// of what was under way have come (the tracer keeps an action back for two seconds at
	// most).
	compareEvery = time.Minute
	confirmAfter = 5 * time.Second
)

// comparisons compares now and then, and takes an inventory where something was lost.
func (s *Service) comparisons(ctx context.Context) {
	next := time.NewTimer(compareEvery)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.lookAtIt:
		case <-next.C:
		}
		wait := compareEvery
		if s.compare(kmod.List) {
			wait = confirmAfter
		}
		next.Reset(wait)
	}
}

// compare looks once, and tells whether to look again soon. While actions wait to be
// recorded it says nothing: they may be what explains it.
func (s *Service) compare(list func(*kmod.ListOptions) ([]kmod.Module, error)) (again bool) {
	if s.watched.inventoryDue.Swap(false) {
		if err := s.takeInventory(context.Background()); err != nil {
			s.watched.inventoryDue.Store(true)
			s.log.Error().Msgf("which modules are loaded: %v", err)
			return true
		}
	}
	if !s.idle() {
		return true
	}
	modules, err := list(nil)
	if err != nil {
		s.log.Error().Msgf("which modules are loaded: %v", err)
		return false
	}
	if !s.idle() {
		return true
	}
	found, again := s.census.look(modules)
	for i := range found {
		s.differs(&found[i])
	}
	return again
}

// idle tells whether nothing is on its way to the journal, as far as can be seen.
func (s *Service) idle() bool { return s.intake.quiet() && s.tracer.Backlog() == 0 }

// differs records a module that appeared or vanished.
func (s *Service) differs(d *difference) {
	kind, text := journal.KindVanished, "is gone from the kernel's list of modules, and nobody was seen to unload it"
	if d.there {
		kind, text = journal.KindAppeared, "is loaded, and nobody was seen to load it"
	}
	s.log.Warn().Msgf("%s %s", d.module.Name, text)
	s.watched.unseen.Add(1)
	r, err := s.recorder.module(kind, &d.module, time.Now(), text)
	if err == nil {
		err = s.keeper.keep(r)
	}
	if err != nil {
		s.log.Error().Msg(err.Error())
		return
	}
	s.wake()
}

// takeInventory records which modules are loaded.
func (s *Service) takeInventory(ctx context.Context) error {
	modules, err := kmod.List(nil)
	if err != nil {
		return err
	}
	return s.inventory(ctx, modules)
}
