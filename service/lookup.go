package service

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/kmodtrace/kmodtrace/provenance"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/tracer"
)

const (
	// lookUpWithin is how long finding out about one action may take. An inquiry keeps
	// deadlines of its own; where that does not hold, the action is recorded without, and
	// nobody waits for it any more.
	lookUpWithin = record.Within + time.Second
	// maxStuck is how many look-ups may have had no answer. While there are so many, nothing
	// is looked into.
	maxStuck = 4
)

// inquiry finds out what an action does not say itself, as [record.Inquiry] does. All is
// for one goroutine.
type inquiry interface {
	All(ctx context.Context, a *tracer.Action) record.Record
	// Hung are parts of it that had no answer and were left behind; Health errs while there
	// are any.
	Hung() []provenance.Hung
	Health() error
}

// asker has an inquiry look into actions, and gives up on it where it does not answer. It
// is for one goroutine; what has a lock is for all.
type asker struct {
	begin  func() inquiry // another one, after one was given up
	within time.Duration  // how long one look-up may take

	mu      sync.Mutex
	current inquiry
	stuck   int
	since   time.Time // when the first of these was given up; zero while all answer
}

func newAsker(begin func() inquiry) *asker {
	return &asker{begin: begin, current: begin(), within: lookUpWithin}
}

func (k *asker) inquiry() inquiry {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.current
}

// ask gives all that is known of an action, in time.
func (k *asker) ask(ctx context.Context, a *tracer.Action) record.Record {
	if n, _ := k.unanswered(); n >= maxStuck {
		return unasked(a, fmt.Sprintf("%d earlier look-ups have had no answer", n))
	}
	ctx, cancel := context.WithTimeout(ctx, k.within)
	answer := make(chan record.Record, 1)
	// What hangs must not write what its caller reads later.
	own, by := ownCopy(a), k.inquiry()
	go func() {
		defer cancel()
		answer <- by.All(ctx, own)
	}()
	late := time.NewTimer(k.within)
	defer late.Stop()
	select {
	case got := <-answer:
		return got
	case <-late.C:
	}
	k.giveUp()
	go func() {
		<-answer
		k.answered()
	}()
	return unasked(a, fmt.Sprintf("the look-up had no answer within %v", k.within))
}

func (k *asker) giveUp() {
	next := k.begin()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.current = next
	if k.stuck++; k.stuck == 1 {
		k.since = time.Now()
	}
}

func (k *asker) answered() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stuck--; k.stuck == 0 {
		k.since = time.Time{}
	}
}

// health errs while look-ups have no answer: what they would have told is missing.
func (k *asker) health() error {
	if n, since := k.unanswered(); n > 0 {
		return fmt.Errorf("%d look-ups have had no answer, the first since %v: where modules come from and why they failed may be missing", n, since.Round(time.Second))
	}
	return k.inquiry().Health()
}

// hung counts all that has had no answer.
func (k *asker) hung() int {
	n, _ := k.unanswered()
	return n + len(k.inquiry().Hung())
}

// unanswered tells how many look-ups were given up and have had no answer yet, and for how
// long there are any.
func (k *asker) unanswered() (n int, since time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stuck == 0 {
		return 0, 0
	}
	return k.stuck, time.Since(k.since)
}

// unasked is an action that nobody looked into, with the reason.
func unasked(a *tracer.Action, reason string) record.Record {
	r := record.New(a)
	r.NotLookedUp = reason
	return r
}

// ownCopy copies of an action what naming the places that asked writes.
func ownCopy(a *tracer.Action) *tracer.Action {
	own := *a
	own.Requester = ownRequester(a.Requester)
	own.AwaitedBy = make([]tracer.Requester, len(a.AwaitedBy))
	for i := range a.AwaitedBy {
		own.AwaitedBy[i] = *ownRequester(&a.AwaitedBy[i])
	}
	return &own
}

func ownRequester(r *tracer.Requester) *tracer.Requester {
	if r == nil {
		return nil
	}
	own := *r
	own.Requester = ownRequester(r.Requester)
	return &own
}
