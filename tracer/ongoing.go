package tracer

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kmodtrace/kmodtrace/internal/procfs"
)

// Ongoing is what was found out about an action while it was under way.
type Ongoing struct {
	// After is when that was, counted from the action's start.
	After time.Duration `json:"after_ns"`
	// Stack is where its thread slept then, the innermost function first, as /proc/PID/stack has
	// it: "msleep+0x2d/0x40", "nap_init+0x1c/0x1000 [nap]". It is empty where the thread ran, where
	// the kernel or its configuration does not tell, and where the thread went on meanwhile.
	Stack []string `json:"stack,omitempty"`
	// WaitsFor is the other action whose end it waits for; nil where there is none, or it was
	// not seen.
	WaitsFor *Awaited `json:"waits_for,omitempty"`
	// Starting are, for a load at stage resolve, the other loads under way whose modules were
	// not live yet. It waits for the one, if any, whose symbols it needs.
	Starting []Awaited `json:"starting,omitempty"`
}

// Awaited is an action under way that another one waits for, or may wait for.
type Awaited struct {
	ID     ID         `json:"id"`
	Kind   ActionKind `json:"action"`
	Module string     `json:"module"`
	Stage  Stage      `json:"stage,omitempty"` // of a load
	// Since is when it began, since boot.
	Since  time.Duration `json:"since_boottime_ns,string"`
	Thread Thread        `json:"thread"`
	// WaitsFor is what it waits for itself.
	WaitsFor *Awaited `json:"waits_for,omitempty"`
}

// Bounds of what is told of others.
const (
	maxAwaited  = 8 // of a chain
	maxStarting = 8
)

// ongoing describes an action that is under way. The stack may be empty.
func (c *Correlator) ongoing(a *Action, now time.Duration, stack []string) *Ongoing {
	o := &Ongoing{After: now - a.Start, Stack: stack, WaitsFor: c.awaited(a, maxAwaited)}
	if a.Kind == Load && a.Stage == StageResolve && o.WaitsFor == nil {
		for _, l := range c.starting(a) {
			o.Starting = append(o.Starting, c.tell(l, maxAwaited))
		}
	}
	return o
}

// tell describes an action that somebody waits for, and in turn what it waits for.
func (c *Correlator) tell(a *Action, depth int) Awaited {
	return Awaited{ID: a.ID, Kind: a.Kind, Module: a.Module, Stage: a.Stage, Since: a.Start, Thread: a.Thread, WaitsFor: c.awaited(a, depth-1)}
}

// awaited finds what an action waits for; nil where nothing is certain. Two loads can wait for
// each other, as through requests of their inits: the depth ends that.
func (c *Correlator) awaited(a *Action, depth int) *Awaited {
	if depth <= 0 {
		return nil
	}
	of := c.awaitedOf(a)
	if of == nil {
		return nil
	}
	told := c.tell(of, depth)
	return &told
}

func (c *Correlator) awaitedOf(a *Action) *Action {
	switch {
	case a.Kind == Autoload:
		return c.oldest(func(l *Action) bool { return l.Kind == Load && l.ForRequest == a.ID })
	case c.requestOf(a) != nil:
		return c.requestOf(a)
	case a.Kind != Load:
		return nil
	case !a.Saw(KindStage):
		return c.sameFileBefore(a)
	case a.Stage == StageVerify && inTheWay(a):
		return c.oldest(func(o *Action) bool {
			return o != a && o.Module == a.Module && (o.Kind == Unload || o.Stage > StageVerify)
		})
	}
	return nil
}

// requestOf is the request that the thread of an attempt makes, and is to be answered before the
// attempt goes on.
func (c *Correlator) requestOf(a *Action) *Action {
	r := c.requests[a.Thread.TID]
	if r == nil || a.Kind == Autoload || r.Thread.Start != a.Thread.Start || r.Start < a.Start {
		return nil
	}
	return r
}

// sameFileBefore is the load whose result the kernel will give to a: from 6.5 it runs concurrent
// loads of one file once, before anything is read for the others.
func (c *Correlator) sameFileBefore(a *Action) *Action {
	if a.File == nil || a.Call == nil || a.Call.Call != FinitModule {
		return nil
	}
	return c.oldest(func(l *Action) bool {
		return l != a && l.Kind == Load && l.Saw(KindStage) && sameFile(l.File, a.File)
	})
}

// inTheWay tells whether the kernel found a module of the name that is not live, for whose end a
// load waits at stage verify.
func inTheWay(a *Action) bool {
	l := a.Lookup
	return l != nil && l.Found && l.State != StateLive
}

// starting are the other loads whose modules have passed stage resolve and are not live yet,
// oldest first.
func (c *Correlator) starting(a *Action) (all []*Action) {
	for _, l := range c.attempts {
		if l != a && l.Kind == Load && l.Stage > StageResolve && l.lastReturn == nil {
			all = append(all, l)
		}
	}
	slices.SortFunc(all, byStart)
	return all[:min(len(all), maxStarting)]
}

// oldest is the first attempt under way that fits.
func (c *Correlator) oldest(fits func(*Action) bool) (first *Action) {
	for _, a := range c.attempts {
		if (first == nil || a.Start < first.Start) && fits(a) {
			first = a
		}
	}
	return first
}

func byStart(a, b *Action) int { return cmp.Compare(a.Start, b.Start) }

// A notice is an action that has been under way for long, before it is given as [Action.Preliminary].
type notice struct {
	action *Action
	at     time.Duration // since boot, when the stack was read
	stack  []string
}

// notices finds actions that have been under way for long. It is nil where nobody asks for them.
type notices struct {
	tracer  *Tracer
	after   time.Duration
	inside  func(*Action) bool // as in lookout; nil where threads cannot be seen
	look    time.Duration      // when to look next, since boot
	waiting []notice           // looked at, and
	through uint64             // their events are all before this position in the ring
}

func newNotices(l *lookout, after time.Duration) *notices {
	if after <= 0 {
		return nil
	}
	return &notices{tracer: l.tracer, after: after, inside: l.inside}
}

// due gives the actions that are to be given before their end, each once. It gives one when all
// events from before the look at its thread have been added: if it has not ended by then, it was
// under way when its thread was looked at.
func (n *notices) due(c *Correlator, now time.Duration) (all []Action) {
	if n == nil {
		return nil
	}
	if len(n.waiting) == 0 && now >= n.look {
		n.look = now + overdueAfter
		n.lookAt(c.lasting(now, n.after))
	}
	if len(n.waiting) == 0 || !n.tracer.records.Taken(n.through) {
		return nil
	}
	for _, w := range n.waiting {
		if a := w.action; c.isOpen(a) {
			all = append(all, c.preliminary(a, w.at, w.stack))
		}
	}
	n.waiting = nil
	return all
}

func (n *notices) lookAt(actions []*Action) {
	for _, a := range actions {
		if n.inside != nil && !n.inside(a) {
			continue // its end was missed, which the lookout finds
		}
		n.waiting = append(n.waiting, notice{a, SinceBoot(), stackOf(a, n.inside)})
	}
	var err error
	if n.through, err = n.tracer.records.Reserved(); err != nil {
		n.waiting = nil // the tracer is closed
	}
}

// lasting gives the actions that have been under way for so long and were not given yet.
func (c *Correlator) lasting(now, after time.Duration) (all []*Action) {
	for _, m := range []map[uint32]*Action{c.attempts, c.requests} {
		for _, a := range m {
			if !a.noticed && now-a.Start >= after {
				all = append(all, a)
			}
		}
	}
	slices.SortFunc(all, byStart)
	return all[:min(len(all), maxOverdue)]
}

func (c *Correlator) isOpen(a *Action) bool {
	return c.attempts[a.Thread.TID] == a || c.requests[a.Thread.TID] == a
}

// preliminary is an action under way as it was at a time since boot.
func (c *Correlator) preliminary(a *Action, at time.Duration, stack []string) Action {
	a.noticed = true
	told := c.soFar(a, at, stack)
	told.Preliminary = true
	return told
}

// soFar copies what is known of an action under way. The stack counts only where nothing of the
// action came after it was read: else it may be of an earlier stage.
func (c *Correlator) soFar(a *Action, at time.Duration, stack []string) Action {
	c.attribute(a)
	told := *a
	if a.latest > at {
		stack = nil
	}
	told.Ongoing = c.ongoing(a, at, stack)
	told.own()
	return told
}

// own makes a copy share no list with the action that goes on.
func (a *Action) own() {
	a.Stages, a.Messages, a.MessageTimes = slices.Clone(a.Stages), slices.Clone(a.Messages), slices.Clone(a.MessageTimes)
	a.Seen, a.Loads, a.AwaitedBy = slices.Clone(a.Seen), slices.Clone(a.Loads), slices.Clone(a.AwaitedBy)
}

// unfinished gives what has not ended when the tracing does, with what it was doing then.
func (l *lookout) unfinished(c *Correlator) []Action {
	all := c.Pending()
	for i := range all {
		a := c.attempts[all[i].Thread.TID]
		if all[i].Kind == Autoload {
			a = c.requests[all[i].Thread.TID]
		}
		if a == nil || a.ID != all[i].ID || i >= maxOverdue {
			continue // deferred: it has ended
		}
		all[i] = c.soFar(a, SinceBoot(), stackOf(a, l.inside))
	}
	return all
}

// maxFrames bounds how much of a stack is kept.
const maxFrames = 32

// stackOf reads where the thread of an action sleeps; nil where it does not, or that is not told.
// The thread may be inside the action before and after.
func stackOf(a *Action, inside func(*Action) bool) []string {
	ours := func() bool { return inside != nil && isThread(a) && inside(a) }
	if !ours() {
		return nil
	}
	stack := readStack(fmt.Sprintf("/proc/%d/task/%d/", a.Thread.PID, a.Thread.TID))
	if !ours() {
		return nil
	}
	return stack
}

// readStack gives the stack, or where the kernel has no such file only the function (wchan).
func readStack(dir string) []string {
	text, err := procfs.ReadFile(dir+"stack", 64<<10)
	if stack := parseStack(text); err == nil && len(stack) > 0 {
		return stack
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil // it runs, or is not to be told
	}
	if function := procfs.FirstLine(dir + "wchan"); function != "" && function != "0" {
		return []string{function}
	}
	return nil
}

// parseStack reads the lines "[<0>] msleep+0x2d/0x40".
func parseStack(text []byte) (frames []string) {
	for line := range bytes.Lines(text) {
		_, frame, ok := strings.Cut(strings.TrimSpace(string(line)), "] ")
		if !ok || frame == "" || strings.HasPrefix(frame, "0x") || len(frames) == maxFrames {
			break // 0xffffffffffffffff ended a stack once
		}
		frames = append(frames, frame)
	}
	return frames
}

// isThread tells whether the thread of that number in /proc belongs to the process of the action.
func isThread(a *Action) bool {
	if !procfs.StartedAt(procfs.FirstLine(fmt.Sprintf("/proc/%d/stat", a.Thread.PID)), a.Thread.Start) {
		return false
	}
	_, err := os.Stat(fmt.Sprintf("/proc/%d/task/%d", a.Thread.PID, a.Thread.TID))
	return err == nil
}
