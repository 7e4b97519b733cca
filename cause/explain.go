package cause

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/kernel"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// Options change what an Explainer does. Nil is the same as its zero value.
type Options struct {
	// Recorded says that the actions are of the past: who holds what now, and
	// what is loaded now, has nothing to do with them.
	Recorded bool
}

// Explainer says why actions failed. It remembers the latest causes, for a
// request's is that of a load which its helper made. It is not safe for use by
// several goroutines.
type Explainer struct {
	kernel *kernel.Kernel
	opts   Options
	rules  []rule
	causes map[uint64]*Cause
	order  []uint64
}

// remembered is how many causes of loads an Explainer keeps.
const remembered = 1024

// NewExplainer returns an Explainer of actions of that kernel.
func NewExplainer(k *kernel.Kernel, opts *Options) *Explainer {
	if opts == nil {
		opts = &Options{}
	}
	return &Explainer{kernel: k, opts: *opts, rules: rules(), causes: make(map[uint64]*Cause)}
}

// Explain gives an action with its cause, where it failed, and with what the
// kernel warned of.
func (x *Explainer) Explain(ctx context.Context, a tracer.Action) Explained {
	e := Explained{Action: a}
	if Needed(&a) {
		e.Cause = x.cause(ctx, &a)
	}
	if e.Cause != nil && a.Kind == tracer.Load {
		x.remember(a.ID, e.Cause)
	}
	if a.Kind == tracer.Load {
		e.Warnings = x.warnings(ctx, &a)
	}
	return e
}

// Needed tells whether an action may have a cause: one that failed; a request that a
// helper answered without loading anything, which a configured command can do; and an
// unload that does not end.
func Needed(a *tracer.Action) bool {
	switch {
	case a.Outcome == tracer.Failed:
		return true
	case a.Kind == tracer.Autoload:
		return a.Outcome == tracer.Answered && len(a.Loads) == 0
	}
	return a.Kind == tracer.Unload && a.Outcome == tracer.Pending
}

func (x *Explainer) remember(id uint64, c *Cause) {
	if len(x.order) == remembered {
		delete(x.causes, x.order[0])
		x.order = x.order[1:]
	}
	x.order = append(x.order, id)
	x.causes[id] = c
}

func (x *Explainer) scene(ctx context.Context, a *tracer.Action) *scene {
	s := newScene(ctx, a, x.kernel)
	s.live = !x.opts.Recorded
	s.recall = func(id uint64) *Cause { return x.causes[id] }
	return s
}

// cause finds the first rule whose evidence is complete; else the only one that is
// left; else it says which are.
func (x *Explainer) cause(ctx context.Context, a *tracer.Action) *Cause {
	if a.SharedWith != 0 {
		return x.shared(ctx, a)
	}
	if a.Kind == tracer.Autoload && a.Request == nil { // a saved action that somebody changed
		whole := *a
		whole.Request = &tracer.Request{Name: a.Module}
		a = &whole
	}
	x.kernel.Refresh()
	var possible []*rule
	for i := range x.rules {
		r := &x.rules[i]
		if !r.when.concerns(a) {
			continue
		}
		s := x.scene(ctx, a)
		switch r.match(s) {
		case yes:
			return s.conclude(r)
		case unsure:
			possible = append(possible, r)
		}
	}
	return x.undecided(ctx, a, possible)
}

// shared is the cause of the load whose result the kernel gave to this one. By its own
// events nothing can be told: it has none of the stages.
func (x *Explainer) shared(ctx context.Context, a *tracer.Action) *Cause {
	const shares = "the kernel gave it the result of another load of the same file"
	c := x.causes[a.SharedWith]
	if c == nil {
		c = x.undecided(ctx, a, nil)
	}
	if c == nil {
		return nil
	}
	with := *c
	with.Evidence = append(slices.Clone(c.Evidence), shares)
	return &with
}

func (x *Explainer) undecided(ctx context.Context, a *tracer.Action, possible []*rule) *Cause {
	var codes []Code
	for _, r := range possible {
		if !slices.Contains(codes, r.code) {
			codes = append(codes, r.code)
		}
	}
	s := x.scene(ctx, a)
	switch {
	case a.Outcome != tracer.Failed:
		return nil // answered by a helper that had nothing to do, or not ended
	case len(codes) == 1:
		s.prove("nothing else ends with %s there", a.ErrnoName)
		possible[0].match(s) // for its names
		return s.conclude(possible[0])
	}
	s.ends()
	for _, m := range a.Messages {
		s.prove("its thread printed: %s", firstLine(m))
	}
	text := "what was seen does not say why"
	if len(codes) > 0 {
		text += ": it may be " + orList(codes)
	}
	return &Cause{Code: Unknown, Text: text, Evidence: s.evidence, Next: nextOf(Unknown), Remaining: codes}
}

// conclude makes the cause that a rule found.
func (s *scene) conclude(r *rule) *Cause {
	s.ends()
	if r.look != nil {
		r.look(s)
	}
	if f := r.when.fact; f != nil && f.holds(s) == yes {
		s.prove("%s", sentence(f.says, s.names))
	}
	next := r.next
	if next == "" {
		next = nextOf(r.code)
	}
	return &Cause{
		Code: r.code, Text: sentence(r.say, s.names), Evidence: s.evidence,
		Next: sentence(next, s.names), Names: s.names, Inner: s.inner,
	}
}

// ends is the evidence that every failure has: where it ended, and by what.
func (s *scene) ends() {
	a := s.action
	if a.Errno != 0 {
		s.prove("the kernel answered %s (%d, %s)", a.ErrnoName, int(a.Errno), unix.Errno(a.Errno).Error())
	}
	if h := a.HelperStatus; h != nil {
		s.prove("its helper ended with status %d", unix.WaitStatus(*h).ExitStatus())
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
func (x *Explainer) warnings(ctx context.Context, a *tracer.Action) []Cause {
	var list []Cause
	for _, m := range a.Messages {
		groups := ignoredText.FindStringSubmatch(m)
		if groups == nil {
			continue
		}
		s := x.scene(ctx, a)
		s.name("parameter", groups[1])
		s.prove("the kernel said: %s", firstLine(m))
		list = append(list, Cause{
			Code: ParameterUnknown, Text: sentence("{module} has no parameter {parameter}: it was ignored", s.names),
			Evidence: s.evidence, Next: nextOf(ParameterUnknown), Names: s.names,
		})
	}
	return list
}
