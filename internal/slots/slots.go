// Package slots runs what may never come back: a look at a file whose file system a dead
// server or a user's program answers for. Nothing can end a thread that waits in the
// kernel for such an answer. So it is left behind, and what is left behind is bounded, by
// key, so that one that does not answer uses up only its own.
package slots

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Sentinels, reached with [errors.Is].
var (
	// ErrFull: as many as may be are left behind already. Nothing was begun.
	ErrFull = errors.New("earlier lookups have had no answer yet")
	// ErrNoAnswer: the context ended first. What was begun goes on.
	ErrNoAnswer = errors.New("no answer")
)

// Options are the bounds. Each must be positive.
type Options struct {
	Each     int // of one key
	Total    int // of all keys together
	Reserved int // of Total, only for jobs that are privileged
}

// Key is whose slots a job takes.
type Key struct {
	User  uint32 // host uid of who is responsible
	Place string // "ext4 8:1"
}

func (k Key) String() string { return fmt.Sprintf("%s for user %d", k.Place, k.User) }

// Job is something to run.
type Job struct {
	Key
	What string // for people: "the file"
	// Privileged jobs may take the reserved slots.
	Privileged bool
}

// Hung is a job that was left behind and has not ended.
type Hung struct {
	Job
	Since time.Time // when it began
}

// Slots bounds jobs. It is safe for use by several goroutines.
type Slots struct {
	opts Options
	jobs chan func() // to a goroutine that is done with another one

	mu      sync.Mutex
	running map[*running]struct{}
	each    map[Key]int
	open    int // of those that are not privileged
}

type running struct {
	Hung
	left bool
}

// New returns Slots that are all free.
func New(opts Options) *Slots {
	return &Slots{opts: opts, jobs: make(chan func()), running: make(map[*running]struct{}), each: make(map[Key]int)}
}

// Run runs f in a goroutine of its own, and waits for it as long as the context lasts. A
// job that is left behind must touch nothing of its caller's. It errs with [ErrFull],
// [ErrNoAnswer], and the context's error where that had ended before: nothing was begun.
func Run[T any](ctx context.Context, s *Slots, job Job, f func(context.Context) T) (T, error) {
	var none T
	if ctx.Err() != nil {
		return none, context.Cause(ctx)
	}
	r, err := s.take(job)
	if err != nil {
		return none, err
	}
	answer := make(chan T, 1)
	s.start(func() {
		v := f(ctx)
		s.give(r) // before its caller begins the next
		answer <- v
	})
	select {
	case v := <-answer:
		return v, nil
	case <-ctx.Done():
	}
	select { // it may have ended at the same moment
	case v := <-answer:
		return v, nil
	default:
	}
	s.mu.Lock()
	r.left = true
	s.mu.Unlock()
	return none, fmt.Errorf("%w: %w", ErrNoAnswer, context.Cause(ctx))
}

// idleFor is how long a goroutine waits for another job. Its stack has grown by then: for jobs that
// follow one another, that is a tenth of what they take.
const idleFor = time.Second

// start runs f in a goroutine that waits for a job, or else in a new one.
func (s *Slots) start(f func()) {
	select {
	case s.jobs <- f:
	default:
		go s.work(f)
	}
}

func (s *Slots) work(f func()) {
	idle := time.NewTimer(idleFor)
	defer idle.Stop()
	for {
		f()
		idle.Reset(idleFor)
		select {
		case f = <-s.jobs:
		case <-idle.C:
			return
		}
	}
}

func (s *Slots) take(job Job) (*running, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.each[job.Key] >= s.opts.Each:
		return nil, fmt.Errorf("%w (%d on %s)", ErrFull, s.each[job.Key], job.Key)
	case len(s.running) >= s.opts.Total, !job.Privileged && s.open >= s.opts.Total-s.opts.Reserved:
		return nil, fmt.Errorf("%w (%d in all)", ErrFull, len(s.running))
	}
	r := &running{Hung: Hung{Job: job, Since: time.Now()}}
	s.running[r] = struct{}{}
	s.each[job.Key]++
	if !job.Privileged {
		s.open++
	}
	return r, nil
}

func (s *Slots) give(r *running) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, r)
	if s.each[r.Key]--; s.each[r.Key] == 0 {
		delete(s.each, r.Key)
	}
	if !r.Privileged {
		s.open--
	}
}

// Hung gives the jobs that were left behind and have not ended, the oldest first.
func (s *Slots) Hung() []Hung {
	s.mu.Lock()
	defer s.mu.Unlock()
	var hung []Hung
	for r := range s.running {
		if r.left {
			hung = append(hung, r.Hung)
		}
	}
	slices.SortFunc(hung, func(a, b Hung) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Key.String(), b.Key.String()))
	})
	return hung
}
