package service

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/jsonline"
	"github.com/kmodtrace/kmodtrace/internal/procfs"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/presence"
	"github.com/kmodtrace/kmodtrace/rule"
	"github.com/kmodtrace/kmodtrace/tracer"
	"golang.org/x/sys/unix"
)

// The rules that checks of the running kernel have (rule/pack/checks.yaml).
const (
	hiddenModule   = "hidden-module"
	unlistedMemory = "unlisted-memory"
	limitEased     = "limit-eased"
	helperChanged  = "helper-changed"
	watchingFails  = "watching-fails"
)

// Looks come after the loads, so that a module that hides when it is loaded or soon after it is found soon, and now and
// then, at times that nobody can foresee.
const (
	firstLook  = time.Second
	secondLook = 10 * time.Second
	thirdLook  = time.Minute
	leastPause = 5 * time.Minute
	mostPause  = 15 * time.Minute
	// limitsEvery is how often what the kernel cannot take back is read.
	limitsEvery = 10 * time.Second
	// After a first one, self-tests come at times that nobody can foresee, too. Each has as long as events may wait.
	testAfterStart = 5 * time.Second
	leastTestPause = time.Minute
	mostTestPause  = 5 * time.Minute
	testWithin     = time.Minute
)

// looks says when the sources are to be asked which modules there are.
type looks struct {
	mu     sync.Mutex
	first  time.Time // the first load since the last look; zero for none
	latest time.Time // the last load
	done   time.Time // the last look
	chance time.Time // one that comes by chance
}

// loaded takes a load into account.
func (l *looks) loaded(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first.IsZero() {
		l.first = now
	}
	l.latest = now
}

// due tells whether to look now.
func (l *looks) due(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	// While loads come one after the other, a look that nothing disturbs is not to be had, and costs as much.
	if !l.first.IsZero() && (!now.Before(l.latest.Add(firstLook)) || !now.Before(l.first.Add(secondLook))) {
		return true
	}
	for _, after := range []time.Duration{secondLook, thirdLook} {
		if at := l.latest.Add(after); !l.latest.IsZero() && l.done.Before(at) && !now.Before(at) {
			return true
		}
	}
	return !now.Before(l.chance)
}

// looked says that a look began at a time.
func (l *looks) looked(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.first.After(at) {
		l.first = time.Time{}
	}
	l.done = at
	l.chance = at.Add(leastPause + rand.N(mostPause-leastPause))
}

// checks are what is known of the running kernel beside its modules.
type checks struct {
	looks  looks
	limits presence.Limits // the strictest that held
	helper string          // kernel.modprobe, as it was last
	mu     sync.Mutex
	taints uint64 // that records of loads have
	blind  error  // what the last self-test found
	tested bool   // a self-test was seen
	raised map[string]time.Time
}

// saw takes an action into account.
func (c *checks) saw(a *tracer.Action) {
	if a.Kind != tracer.Load || a.Outcome != tracer.Live {
		return
	}
	c.looks.loaded(time.Now())
	if a.Details == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taints |= uint64(a.Details.Taints)
}

// required gives the taints that the kernel must have.
func (c *checks) required() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.taints
}

// runChecks checks the running kernel until ctx is done.
func (s *Service) runChecks(ctx context.Context) {
	s.checks.looks.loaded(time.Now()) // what was loaded before
	s.checks.helper = usualHelper
	var limits time.Time
	every(ctx, time.Second, func() {
		now := time.Now()
		if now.Sub(limits) >= limitsEvery {
			limits = now
			s.checkLimits("/")
		}
		if s.checks.looks.due(now) {
			s.checkPresence(ctx, now, presence.Ask)
		}
	})
}

// runSelfTests makes self-tests until ctx is done, or none is possible.
func (s *Service) runSelfTests(ctx context.Context) {
	for pause := testAfterStart; ; pause = leastTestPause + rand.N(mostTestPause-leastTestPause) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		if !s.selfTest(ctx) {
			return
		}
	}
}

// selfTest raises a finding when the service does not see its own calls. Calls that are not seen while many events wait prove
// nothing. A seccomp filter may refuse the calls before the kernel's own code runs: where the process has one and no call was
// ever seen, selfTest returns false, and no further self-test is made.
func (s *Service) selfTest(ctx context.Context) (again bool) {
	var err error
	for range 2 { // trampolines may miss a thread that preempts another one (docs/kernel-facts.md)
		limited, cancel := context.WithTimeout(ctx, testWithin)
		err = s.tracer.SelfTest(limited)
		cancel()
		if err == nil {
			break
		}
	}
	if ctx.Err() != nil || err != nil && !s.idle() {
		return true
	}
	s.checks.mu.Lock()
	first := !s.checks.tested
	s.checks.tested = s.checks.tested || err == nil
	filtered := first && err != nil && s.filtered()
	if !filtered {
		s.checks.blind = err
	}
	s.checks.mu.Unlock()
	switch {
	case filtered:
		s.log.Warn().Msgf("the service cannot test whether it sees its own calls: let its seccomp filter pass finit_module and delete_module (%v)", err)
		return false
	case err != nil:
		s.raiseCheck(watchingFails, "self-test", "", "the service does not see its own calls: "+err.Error(), nil)
	case first:
		s.log.Info().Msg("the service sees its own calls")
	}
	return true
}

// seccompFiltered tells whether this process has a seccomp filter, as a unit of systemd or a container's runtime gives it.
func seccompFiltered() bool {
	mode, err := unix.PrctlRetInt(unix.PR_GET_SECCOMP, 0, 0, 0, 0)
	return err == nil && mode != unix.SECCOMP_MODE_DISABLED
}

// blindness says what the last self-test found.
func (c *checks) blindness() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.blind
}

// checkLimits compares what the kernel cannot take back with what was.
func (s *Service) checkLimits(root string) {
	// What a record says was so before the mask is read.
	required := s.checks.required()
	now, err := presence.ReadLimits(root)
	if err != nil {
		return // of a machine without /proc much else is said
	}
	s.checks.limits.Tainted |= required
	for _, text := range s.checks.limits.Eased(now) {
		s.raiseCheck(limitEased, text, "", text, nil)
	}
	s.checks.limits = s.checks.limits.Both(now)
	helper := procfs.FirstLine(filepath.Join(root, "proc/sys/kernel/modprobe"))
	if helper == s.checks.helper {
		return
	}
	if s.checks.helper = helper; helper != "" && !slices.Contains(usualHelpers, helper) {
		s.raiseCheck(helperChanged, helper, "", fmt.Sprintf("kernel.modprobe is %s: the kernel starts that program to load modules", helper), map[string]string{"kernel.modprobe": helper})
	}
}

// usualHelpers are what distributions have the kernel start to load modules.
// Some have it start nothing, and name a program that does nothing.
var usualHelpers = []string{usualHelper, "/usr/sbin/modprobe", "/usr/bin/modprobe", "/bin/true", "/usr/bin/true", "/bin/false", "/usr/bin/false"}

const usualHelper = "/sbin/modprobe"

// checkPresence asks which modules there are, and again where the answers contradict each other: a difference counts
// when no module came or went between two looks that have it. The second one comes after [confirmAfter], by which time what
// was under way at the first one is known.
func (s *Service) checkPresence(ctx context.Context, now time.Time, ask func(string, ...presence.Source) (*presence.Look, error)) {
	look := func(sources ...presence.Source) *presence.Look {
		l, err := ask("/", sources...)
		if err != nil {
			s.log.Error().Msgf("which modules hide: %v", err)
			return nil
		}
		l.Add(presence.History, s.census.known())
		return l
	}
	if !s.idle() {
		return
	}
	events := s.census.events()
	first := look(presence.Sysfs, presence.Types, presence.Memory, presence.Functions)
	if first == nil || len(first.Hidden()) == 0 && first.Unlisted() == 0 {
		s.checks.looks.looked(now)
		return
	}
	select {
	case <-ctx.Done():
		return
	case <-time.After(confirmAfter):
	}
	if !s.idle() || s.census.events() != events {
		return // it is due all the same
	}
	second := look()
	if second == nil || !s.idle() || s.census.events() != events {
		return
	}
	s.checks.looks.looked(now)
	hidden, unlisted := presence.Agreed(first, second)
	for i := range hidden {
		s.hides(ctx, &hidden[i], unlisted)
	}
	if len(hidden) == 0 && unlisted > 0 {
		text := fmt.Sprintf("%d bytes of memory were allocated for modules that the kernel's list does not have", unlisted)
		s.raiseCheck(unlistedMemory, text, "", text, map[string]string{"bytes": fmt.Sprint(unlisted)})
	}
}

// hides raises that a module does, with its load.
func (s *Service) hides(ctx context.Context, h *presence.Hidden, unlisted uint64) {
	evidence := map[string]string{"shown_by": sourceNames(h.Shown), "not_shown_by": sourceNames(h.NotShown)}
	text := fmt.Sprintf("%s hides: it is shown by %s, and not by %s", h.Module, evidence["shown_by"], evidence["not_shown_by"])
	if unlisted > 0 {
		evidence["unlisted_bytes"] = fmt.Sprint(unlisted)
	}
	subject := h.Module
	r, err := s.journal.LastLoad(ctx, s.recorder.boot, h.Module)
	if err != nil {
		s.log.Error().Msgf("the load of what hides: %v", err)
	}
	if r != nil {
		subject += " " + r.ID
		evidence["loaded"], evidence["loaded_by"], evidence["file"] = r.ID, r.User, r.File
		text += "; it was loaded at " + r.Time.UTC().Format(time.RFC3339)
		if r.User != "" {
			text += " by " + r.User
		}
		if r.File != "" {
			text += " from " + r.File
		}
	} else {
		text += "; the journal has no load of it in this run of the kernel"
	}
	s.raiseCheck(hiddenModule, subject, h.Module, text, evidence)
}

func sourceNames(sources []presence.Source) string {
	names := make([]string, len(sources))
	for i, n := range sources {
		names[i] = string(n)
	}
	return strings.Join(names, ", ")
}

// maxRaised bounds the subjects that are remembered: what hides can have many names.
const maxRaised = 1024

// raiseCheck records what a check found about a subject: once in an hour, as findings in records are.
func (s *Service) raiseCheck(check, subject, module, text string, evidence map[string]string) {
	now := time.Now()
	key := check + " " + subject
	if last, ok := s.checks.raised[key]; ok && now.Sub(last) < rule.Window {
		return
	}
	f, ok := s.rulesInUse().Found(check, subject, text, evidence, now)
	if !ok {
		return
	}
	f.Module = column(module)
	body, err := jsonline.Marshal(f)
	if err == nil {
		err = s.keepFindings(raised{f, journal.Record{
			ID: fmt.Sprintf("%.8s-%d-%s", s.recorder.boot, tracer.SinceBoot(), check), Time: now, Boot: s.recorder.boot, Kind: journal.KindFinding,
			Module: f.Module, Outcome: string(f.Severity), Cause: f.Rule, Body: body,
		}})
	}
	if err != nil {
		s.log.Error().Msgf("%s: %v", text, err) // it is found again
		return
	}
	s.log.Error().Msgf("%s: %s", check, text)
	if s.checks.raised == nil || len(s.checks.raised) >= maxRaised {
		s.checks.raised = make(map[string]time.Time)
	}
	s.checks.raised[key] = now
}
