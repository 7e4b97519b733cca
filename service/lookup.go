package service

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/kmodtrace/kmodtrace/account"
	"github.com/kmodtrace/kmodtrace/cause"
	"github.com/kmodtrace/kmodtrace/tracer"
)

const (
	// lookUpWithin is how long finding out about one action may take. What has no answer by
	// then is recorded without: a file system that does not answer stops nobody.
	lookUpWithin = 8 * time.Second
	// maxStuck is how many look-ups may have had no answer. While there are so many, nothing
	// is looked into.
	maxStuck = 4
)

// inquiry finds out what an action does not say itself, as [account.Inquiry] does. It is for
// one goroutine.
type inquiry interface {
	All(ctx context.Context, a *tracer.Action) account.Account
}

// asker has an inquiry look into actions, and gives up on it where it does not answer: it
// has deadlines of its own, but what the system holds up keeps none. It is for one
// goroutine, stuck and since are for all.
type asker struct {
	begin   func() inquiry // another one, after one was given up
	current inquiry

	mu    sync.Mutex
	stuck int
	since time.Time // when the first of these was given up; zero while all answer
}

func newAsker(begin func() inquiry) *asker { return &asker{begin: begin, current: begin()} }

// ask gives all that is known of an action, in time.
func (k *asker) ask(ctx context.Context, a *tracer.Action) account.Account {
	if n, _ := k.unanswered(); n >= maxStuck {
		return unasked(a, fmt.Sprintf("%d earlier look-ups have had no answer", n))
	}
	ctx, cancel := context.WithTimeout(ctx, lookUpWithin)
	answer := make(chan account.Account, 1)
	// What hangs must not write what its caller reads later.
	own, by := ownCopy(a), k.current
	go func() {
		defer cancel()
		answer <- by.All(ctx, own)
	}()
	// Not by the context: what keeps that deadline may still answer.
	late := time.NewTimer(lookUpWithin + time.Second)
	defer late.Stop()
	select {
	case got := <-answer:
		return got
	case <-late.C:
	}
	k.giveUp()
	k.current = k.begin()
	go func() {
		<-answer
		k.answered()
	}()
	return unasked(a, fmt.Sprintf("the look-up had no answer within %v", lookUpWithin))
}

func (k *asker) giveUp() {
	k.mu.Lock()
	defer k.mu.Unlock()
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

// unanswered tells how many look-ups have had no answer, and for how long there are any.
func (k *asker) unanswered() (n int, since time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stuck == 0 {
		return 0, 0
	}
	return k.stuck, time.Since(k.since)
}

// unasked is an action that nobody looked into, with the reason.
func unasked(a *tracer.Action, reason string) account.Account {
	return account.Account{Explained: cause.Explained{Action: *a}, NotLookedUp: reason}
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
