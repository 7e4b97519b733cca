package cause

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/internal/slots"
	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/provenance"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// DefaultTimeout is that of Options.
const DefaultTimeout = 5 * time.Second

// Options change what an Explainer does. Nil is the same as its zero value.
type Options struct {
	// Recorded says that the actions are of the past: who holds what now, and
	// what is loaded now, has nothing to do with them.
	Recorded bool
	// Lookup finds the files of loads; nil for one of its own.
	Lookup *provenance.Lookup
	// Timeout is for all that has to be looked up for one cause; 0 is DefaultTimeout.
	Timeout time.Duration
}

// Explainer says why actions failed. It remembers the latest causes, for a
// request's is that of a load which its helper made. It is not safe for use by
// several goroutines, Hung excepted.
type Explainer struct {
	kernel *kernel.Kernel
	opts   Options
	rules  []rule
	slots  *slots.Slots
	causes map[tracer.ID]*Cause
	order  []tracer.ID
}

// remembered is how many causes of loads an Explainer keeps.
const remembered = 1024

// How many causes may be under way, those that hang included: of one user's actions; in
// all; and of these, only of root's.
const (
	maxEach     = 4
	maxPending  = 16
	maxReserved = 4
)

// NewExplainer returns an Explainer of actions of that kernel.
func NewExplainer(k *kernel.Kernel, opts *Options) *Explainer {
	if opts == nil {
		opts = &Options{}
	}
	x := &Explainer{
		kernel: k, opts: *opts, rules: rules(), causes: make(map[tracer.ID]*Cause),
		slots: slots.New(slots.Options{Each: maxEach, Total: maxPending, Reserved: maxReserved}),
	}
	if x.opts.Lookup == nil {
		x.opts.Lookup = provenance.NewLookup(nil)
	}
	if x.opts.Timeout == 0 {
		x.opts.Timeout = DefaultTimeout
	}
	return x
}

// Explanation is what was found out about an action.
type Explanation struct {
	Cause    *Cause  // why it failed; nil where it did not
	Warnings []Cause // what went wrong without making it fail
}

// Explain gives the cause of an action, where it failed, and what the
// kernel warned of. What has to be looked up for it may not answer: that is left behind
// when Options.Timeout has passed, and the cause says so.
func (x *Explainer) Explain(ctx context.Context, a tracer.Action) Explanation {
	file := x.opts.Lookup.Find(&a)
	defer file.Close()
	return x.ExplainFile(ctx, a, file)
}

// ExplainFile is Explain of an action whose file the Lookup found already.
func (x *Explainer) ExplainFile(ctx context.Context, a tracer.Action, file *provenance.Subject) Explanation {
	var e Explanation
	if Needed(&a) {
		e.Cause = x.cause(ctx, &a, file)
	}
	if e.Cause != nil && a.Kind == tracer.Load && a.Outcome != tracer.Pending {
		x.remember(a.ID, e.Cause)
	}
	if a.Kind == tracer.Load {
		e.Warnings = append(warnings(ctx, &a), x.ofConfig(ctx, &a)...)
	}
	if a.Kind != tracer.Autoload {
		q := &question{action: &a}
		e.Warnings = append(e.Warnings, reported(&a, func() *scene { return q.scene(ctx) })...)
	}
	return e
}

// Hung gives the causes that are still being looked for, long after they were given up:
// what is asked does not answer. The oldest comes first.
func (x *Explainer) Hung() []provenance.Hung { return x.slots.Hung() }

// Needed tells whether an action may have a cause: one that failed; a request that a
// helper answered without loading anything, which a configured command can do; and one
// that does not end.
func Needed(a *tracer.Action) bool {
	switch {
	case a.Outcome == tracer.Failed, a.Outcome == tracer.Pending && a.Ongoing != nil:
		return true
	case a.Kind == tracer.Autoload:
		return a.Outcome == tracer.Answered && len(a.Loads) == 0
	}
	return a.Kind == tracer.Unload && a.Outcome == tracer.Pending
}

func (x *Explainer) remember(id tracer.ID, c *Cause) {
	if len(x.order) == remembered {
		delete(x.causes, x.order[0])
		x.order = x.order[1:]
	}
	x.order = append(x.order, id)
	x.causes[id] = c
}

// ofConfig gives the warnings that modprobe's configuration has to do with. What that is now says nothing
// about the past.
func (x *Explainer) ofConfig(ctx context.Context, a *tracer.Action) []Cause {
	action := *a
	plain := unknownParameters(ctx, &question{action: &action})
	if x.opts.Recorded || a.Outcome != tracer.Live {
		return plain
	}
	uid, trusted := provenance.User(a)
	job := slots.Job{Key: slots.Key{User: uid, Place: "warnings"}, Privileged: trusted}
	ctx, cancel := context.WithTimeout(ctx, x.opts.Timeout)
	defer cancel()
	list, err := slots.Run(ctx, x.slots, job, func(ctx context.Context) []Cause {
		q := &question{kernel: x.kernel, action: &action, live: true}
		list := unknownParameters(ctx, q)
		if c := q.scene(ctx).ignoredConfig(); c != nil {
			list = append(list, *c)
		}
		return append(list, q.scene(ctx).ignoredOptions()...)
	})
	if err != nil { // a directory that hangs is the causes' to report
		return plain
	}
	return list
}

// ignoredConfig looks for the line. modprobe goes by the file's name.
func (s *scene) ignoredConfig() *Cause {
	for _, line := range s.ask("the configuration of modprobe").Blocked(s.fileModule()) {
		if !line.Blocking {
			continue
		}
		s.nameLine(&line)
		switch {
		case s.action.Thread.Comm == "insmod":
			s.name("why", "insmod does not read this configuration")
		case line.Install:
			s.name("why", "its command was not run (kmod 34 ignores it where a module has soft dependencies)")
		default:
			s.name("why", "a blacklist counts for aliases only, not for a name, a dependency or a softdep")
		}
		return s.say(ConfigIgnored, sayConfigIgnored)
	}
	return nil
}

// cause looks for one in a goroutine that can be left behind.
func (x *Explainer) cause(ctx context.Context, a *tracer.Action, file *provenance.Subject) *Cause {
	with := *a
	if with.Kind == tracer.Autoload && with.Request == nil { // a saved action that somebody changed
		with.Request = &tracer.Request{Name: with.Module}
	}
	q := &question{kernel: x.kernel, rules: x.rules, action: &with, live: !x.opts.Recorded, file: file, known: make(map[tracer.ID]*Cause)}
	for _, id := range append([]tracer.ID{with.SharedWith}, with.Loads...) {
		if c := x.causes[id]; c != nil {
			q.known[id] = c
		}
	}
	uid, trusted := provenance.User(a)
	if trusted {
		ctx = kernel.Trusted(ctx)
	}
	job := slots.Job{Key: slots.Key{User: uid, Place: "causes"}, Privileged: trusted}
	// Who breaks it off has what needs no program and no file all the same.
	whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), x.opts.Timeout)
	defer cancel()
	ctx, stop := context.WithTimeout(ctx, x.opts.Timeout)
	defer stop()
	c, err := slots.Run(whole, x.slots, job, func(context.Context) *Cause { return q.answer(ctx) })
	if err != nil {
		return q.unanswered(ctx, err, x.opts.Timeout)
	}
	return c
}

// conclude makes the cause that a rule found. That is certain before the extra look, which
// may not come to an end.
func (s *scene) conclude(r *rule) *Cause {
	s.ends()
	if r.look != nil {
		s.question.certain.Store(s.by(r))
		r.look(s)
	}
	if f := r.when.fact; f != nil && f.holds(s) == yes {
		s.prove("%s", sentence(f.says, s.names))
	}
	return s.by(r)
}

// by makes a rule's cause of what the scene has so far.
func (s *scene) by(r *rule) *Cause {
	next := r.next
	if next == "" {
		next = nextOf(r.code)
	}
	return &Cause{
		Code: r.code, Text: sentence(r.say, s.names), Evidence: slices.Clone(s.evidence),
		Next: sentence(next, s.names), Names: maps.Clone(s.names), Inner: s.inner,
	}
}

// ends is the evidence that every failure has: where it ended, and by what.
func (s *scene) ends() {
	a := s.action
	if a.Errno != 0 {
		s.prove("the kernel answered %s (%d, %s)", a.ErrnoName, int(a.Errno), unix.Errno(a.Errno).Error())
	}
	if status, ok := s.helperEnded(); ok && status.Signaled() {
		s.prove("its helper was killed by %s", signalName(status.Signal()))
	} else if ok {
		s.prove("its helper ended with status %d", status.ExitStatus())
	}
	switch {
	case a.Kind != tracer.Load:
	case a.Stage == before:
		s.prove("it ended before the bytes were read")
	default:
		s.prove("it ended at stage %v", a.Stage)
	}
}

func nextOf(code Code) string {
	m, _ := MeaningOf(code)
	return m.Next
}

func orList(codes []Code) string {
	text := ""
	for i, c := range codes {
		switch {
		case i == 0:
		case i == len(codes)-1:
			text += " or "
		default:
			text += ", "
		}
		text += string(c)
	}
	return text
}

// shortSpan gives a time in seconds, as a person says it.
func shortSpan(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%d s", int(d.Seconds()))
}

// warnings are what the kernel said about a load that it let go on.
func warnings(ctx context.Context, a *tracer.Action) []Cause {
	var list []Cause
	q := &question{action: a}
	if s := q.scene(ctx); a.Outcome == tracer.Live && s.find(inheritText) {
		list = append(list, *s.say(SymbolProprietary, "{module} uses[ {symbol} of] {owner}, which is proprietary, and counts as proprietary now: it can use no symbol for GPL-compatible modules only"))
	}
	return list
}

// unknownParameters warns of parameters that the kernel ignored. Without a kernel to ask it does not
// say who set them.
func unknownParameters(ctx context.Context, q *question) []Cause {
	var list []Cause
	for _, m := range q.action.Messages {
		groups := ignoredText.FindStringSubmatch(m)
		if groups == nil {
			continue
		}
		s := q.scene(ctx)
		s.prove("the kernel said: %s", firstLine(m))
		list = append(list, *s.unknownParameter(groups[1]))
	}
	return list
}
