package tracer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/kmodtrace/kmodtrace/internal/memory"
	"github.com/kmodtrace/kmodtrace/tracer/internal/attach"
	"github.com/kmodtrace/kmodtrace/tracer/internal/ring"
)

// Options change how a [Tracer] works. The zero value, and nil, are the default.
type Options struct {
	Backend Backend
	// RingSize is the size of the ring of events in bytes, a power of two and a
	// multiple of the page size; zero means 8 MiB. A load takes some 7 KiB of
	// it, and 168 bytes for each line that it prints.
	RingSize uint32
	// Backlog bounds, in bytes of memory, what was read from the ring and waits for
	// who iterates; zero means 16 MiB. Compressed as it is there, an action takes
	// some hundred bytes.
	Backlog int
	// Returns is how many threads the kernel can follow into one function where
	// its return is hooked by a kretprobe (see [Kprobe]); zero means 1,024, and
	// 4,096 is the kernel's limit.
	Returns int
	// Pending bounds the unfinished actions that are kept; zero means 16,384.
	Pending int
	// Images has the kernel side hand over the bytes of what is loaded, for [Tracer.Image]: a program
	// of its own and 8 MiB for a ring, and up to 16 MiB of memory here. Where that cannot be had,
	// Image says why.
	Images bool

	requests  uint32 // in flight at the same time that are tracked; zero means 8,192
	unhurried bool   // the kernel side does not look whether the reader can follow
	without   string // a hook that is left out, to measure what it costs
}

const (
	// defaultReturns is how many threads can be inside a function without losing a
	// kretprobe's return. The kernel's own default is ten, or two a CPU.
	defaultReturns = 1024
	// maxReturns is KRETPROBE_MAXACTIVE_MAX.
	maxReturns = 4096
)

func (o Options) check() error {
	page := uint32(os.Getpagesize())
	switch {
	case o.Backend > Kprobe:
		return &BackendError{Name: o.Backend.String()}
	case o.RingSize != 0 && (o.RingSize < page || o.RingSize&(o.RingSize-1) != 0):
		return fmt.Errorf("ring of %d bytes: must be a power of two from %d on", o.RingSize, page)
	case o.Returns < 0 || o.Returns > maxReturns:
		return fmt.Errorf("%d returns: must be at most %d", o.Returns, maxReturns)
	}
	return nil
}

// Tracer is attached to the kernel and delivers what it does with modules. One
// goroutine at a time may iterate; the other methods may be called from any.
type Tracer struct {
	coverage  Coverage
	hooks     *attach.Hooks
	records   *ring.Reader
	pending   int
	fences    fences
	tests     selfTests
	images    *images // nil where nobody wants them, or for imagesErr
	imagesErr error
	present   *presentModules // nil where the kernel names who asks for a module
	dropped   atomic.Uint64
	ends      missedEnds

	absences uint64            // their sum
	absent   map[string]uint64 // by the program's name: see [Tracer.readAbsent]

	mu     sync.Mutex
	closed bool
	// As read last, when the kernel side had counted so many.
	folded      []Folded
	foldedCount uint64
	// As read when closed.
	final             Loss
	finalFolded       []Folded
	finalDisturbances []Disturbance
}

// Open attaches the hooks. When it returns, every attempt that begins from now
// on will be seen.
//
// The error is [ErrPrivilege], [ErrNoBTF] or [ErrNoModules] where this kernel or
// this user cannot trace at all, and a [*CoverageError] where required hooks
// could not be attached. Nothing is left attached after an error.
func Open(opts *Options) (_ *Tracer, err error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := HaveTracing(); err != nil {
		return nil, err
	}
	memory.AllowLocked()
	t := &Tracer{pending: o.Pending}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.detach())
		}
	}()
	if err := t.attach(o); err != nil {
		return nil, err
	}
	if len(t.coverage.Missing()) > 0 {
		return nil, &CoverageError{Coverage: t.coverage}
	}
	if err := t.freeze(); err != nil {
		return nil, err
	}
	if t.records, err = ring.Open(t.hooks.Map(bpfMapEvents), t.hooks.Map(bpfMapReading), o.Backlog); err != nil {
		return nil, err
	}
	if o.unhurried {
		t.records.Unhurried()
	}
	if o.Images {
		t.images, t.imagesErr = openImages(t.hooks)
	}
	return t, t.remember()
}

// remember reads how it is when all is attached, to find out later what is not so any more.
func (t *Tracer) remember() (err error) {
	if t.present != nil {
		t.present.read()
	}
	c, err := t.losses()
	if err != nil {
		return err
	}
	if t.absences = c.Absent; t.absences != 0 {
		if t.absent, err = t.readAbsent(); err != nil {
			return err
		}
	}
	return nil
}

// freeze keeps everybody, root and this process too, from changing what shared probes go on
// as, and by what numbers. So nobody has to look whether they are as they were.
func (t *Tracer) freeze() error {
	for _, name := range []string{bpfMapFunctions, bpfMapEntries, bpfMapReturns, bpfMapDueActor} {
		if err := t.hooks.Map(name).Freeze(); err != nil {
			return fmt.Errorf("map %s: %w", name, err)
		}
	}
	return nil
}

// attach chooses the backend, and attaches the hooks of this kernel by it.
func (t *Tracer) attach(o Options) error {
	running, err := runningVersion()
	if err != nil {
		return err
	}
	c, hooks, err := configure(o, running)
	if err != nil {
		return err
	}
	at, err := attach.New(c)
	if err != nil {
		return err
	}
	t.hooks = at.Attached()
	if !running.less(sharingSince()) {
		_ = at.Share() // why not is no concern: each is attached alone then
	}
	t.coverage.Backend = o.Backend
	if o.Backend == Auto {
		t.coverage.Backend, t.coverage.WhyKprobe = choose(at)
	}
	if !namesSites(c.Types) {
		t.present = new(presentModules)
	}
	all, err := at.Attach(t.coverage.Backend == Fentry)
	for i, h := range hooks {
		if !all[i].Unneeded {
			t.coverage.Hooks = append(t.coverage.Hooks, h.status(all[i]))
		}
	}
	return err
}

// Coverage says what this Tracer can see.
func (t *Tracer) Coverage() Coverage { return t.coverage }

// Backlog gives the size in bytes of what was read from the kernel and nobody has taken
// yet: see [Options].
func (t *Tracer) Backlog() int { return t.records.Backlog() }

// Events yields the events in the order in which the kernel reserved them. Those between the
// beginning of an action and its end may come 50 ms late, and up to a second where the action has
// been silent for that long. When ctx is done, those that are queued are delivered first; then it ends, without
// an error. An error that is yielded ends it too.
func (t *Tracer) Events(ctx context.Context) iter.Seq2[Event, error] {
	if t.present != nil {
		t.present.take()
	}
	return func(yield func(Event, error) bool) {
		var g glances
		for e, err := range t.read(ctx, g.next) {
			if errors.Is(err, ring.ErrIdle) {
				g.sawNothing()
				continue
			}
			g.saw(&e)
			if !yield(e, err) {
				return
			}
		}
	}
}

// read yields events, and [ring.ErrIdle] whenever the next deadline passes without
// one; a deadline of zero is none.
func (t *Tracer) read(ctx context.Context, deadline func() time.Time) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for record, err := range t.records.Records(ctx, deadline) {
			var e Event
			if err == nil {
				if e, err = decode(record); err != nil {
					yield(Event{}, fmt.Errorf("decode: %w", err))
					return
				}
				if e.Kind == Kind(kindFence) {
					t.fences.pass(&e)
					continue
				}
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// Actions yields each action when it is finished, in the order of their ends. One
// that may be the first try of two, or that was not seen to begin, is deferred for two
// seconds at most. One whose end was missed is given, with [Action.EndLost], when its thread
// is seen to do something else or to be gone: where /proc shows all threads of the machine.
// When ctx is done, what is queued is delivered, then the unfinished ones as [Pending], with
// [Action.Ongoing]; then it ends.
func (t *Tracer) Actions(ctx context.Context) iter.Seq2[Action, error] { return t.actions(ctx, 0) }

// PendingAfter is how long an action is under way, by default, before somebody is told.
const PendingAfter = 5 * time.Second

// ActionsPending is [Tracer.Actions], and yields an action that has been under way for so long
// once more before its end, as [Pending], with [Action.Preliminary] and [Action.Ongoing].
// Where after is not positive, it is the same as Actions.
func (t *Tracer) ActionsPending(ctx context.Context, after time.Duration) iter.Seq2[Action, error] {
	return t.actions(ctx, after)
}

func (t *Tracer) actions(ctx context.Context, after time.Duration) iter.Seq2[Action, error] {
	return func(yield func(Action, error) bool) {
		c, enricher := NewCorrelator(t.pending), NewEnricher()
		c.known.forgot = t.forget
		watchLoss := t.resolveSites(c, enricher)
		lookout := newLookout(t)
		notices := newNotices(lookout, after)
		give := func(actions []Action) bool {
			t.dropped.Store(c.Dropped())
			for _, a := range actions {
				t.ends.add(&a)
				if t.tests.takes(&a) {
					continue
				}
				if !yield(enricher.Enrich(a), nil) {
					return false
				}
			}
			return true
		}
		for e, err := range t.read(ctx, whileWaiting(c)) {
			var done []Action
			now := e.Time
			switch {
			case errors.Is(err, ring.ErrIdle):
				now = SinceBoot()
				done = c.Due(now)
			case err != nil:
				yield(Action{}, err)
				return
			default:
				watchLoss(&e)
				done = c.Add(e)
			}
			done = append(done, lookout.missed(c, now)...)
			done = append(done, notices.due(c, now)...)
			if !give(done) {
				return
			}
		}
		give(lookout.unfinished(c))
	}
}

// forget has the kernel side tell of a process anew. It is rare, for it is no better than
// a look-up: see counters.go.
func (t *Tracer) forget(p *Process) {
	key := bpfProcess{
		Start: uint64(p.Start), Cgroup: p.Cgroup.ID, Pid: p.PID, Exec: p.Execs, Uid: p.UID, Euid: p.EUID,
		Loginuid: noID, Session: noID, MntNs: p.Namespaces.Mount.ID, UserNs: p.Namespaces.User.ID,
	}
	if p.LoginUID != nil {
		key.Loginuid = *p.LoginUID
	}
	if p.Session != nil {
		key.Session = *p.Session
	}
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(&key)), unsafe.Offsetof(key.Comm))
	for _, name := range []string{bpfMapTold, bpfMapToldLimited} {
		// Mostly it is not there any more.
		_ = t.hooks.Map(name).Delete(bytes)
	}
}

// whileWaiting sets a deadline for the next event only while the correlator holds
// something back, or waits for an end that may have been missed.
func whileWaiting(c *Correlator) func() time.Time {
	return func() time.Time {
		switch {
		case c.HasDeferred():
			return time.Now().Add(deferFor / 4)
		case c.underWay():
			return time.Now().Add(overdueAfter)
		default:
			return time.Time{}
		}
	}
}

// Close detaches everything. An iteration that is under way ends. Calling it
// again does nothing.
func (t *Tracer) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.final, _ = t.readLoss()
	t.finalFolded, _ = t.readFolded()
	t.finalDisturbances = t.readDisturbances()
	t.closed = true
	return t.detach()
}

func (t *Tracer) detach() error {
	var errs []error
	if t.images != nil {
		errs = append(errs, t.images.detach())
	}
	if t.records != nil {
		errs = append(errs, t.records.Close())
	}
	if t.hooks != nil {
		errs = append(errs, t.hooks.Close())
	}
	return errors.Join(errs...)
}
