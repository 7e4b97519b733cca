package service

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kmodtrace/kmodtrace/fleet"
	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/output"
)

// farEnd is where what an output sent can be asked for again.
type farEnd interface {
	Links(ctx context.Context, journal string, from, through int64, since, until time.Time) iter.Seq2[journal.Link, error]
}

// confirmation compares what arrived at the far end with the journal, and has the delivery send
// again what did not.
type confirmation struct {
	d             *delivery
	far           farEnd
	every, settle time.Duration
	outlook       func(*confirmation) // tells before retention has to remove what is not confirmed; nil for nobody

	// What the far end has: all records up to one. Retention leaves those after it.
	at        atomic.Int64
	oldest    atomic.Int64 // when the first that is not confirmed was recorded, in nanoseconds; 0 for none
	resent    atomic.Int64
	failed    atomic.Int64 // tries in a row to ask
	conflicts atomic.Int64 // records of which the far end has another one
	unkept    atomic.Int64 // records that the far end takes and does not keep

	// What follows is for the goroutine that runs it.
	sent      []mark             // when the delivery had sent up to which record
	again     map[int64]*attempt // what was sent again and has not been seen yet
	given     map[int64]bool     // records that were given up
	arrived   int64              // counts what was seen to arrive, each time
	rechecked time.Time
	kept      int64
	prospect  prospect
	conflict  bool
}

// mark is how far the delivery was at a time.
type mark struct {
	at  time.Time
	seq int64
}

// attempt is a record that was sent again.
type attempt struct {
	tries int
	next  time.Time // not again before
	saw   int64     // confirmation.arrived when it was sent
	vain  int       // how often others arrived that were sent with it, and it did not
}

const (
	confirmChunk  = 1000             // records that are compared by one question
	confirmWindow = 20               // chunks that may wait behind one that lacks something
	resendAtOnce  = 1000             // records that are sent again before the next question
	longestAgain  = 10 * time.Minute // between two times that one record is sent again
	longestAsk    = 10 * time.Minute // between two questions to a far end that does not answer
	askWithin     = time.Minute      // for an answer
	// givenUpAfter is how often others must have arrived, and one record not, for it to be one
	// that the far end does not keep: it is too large, or too old for it. A hop that loses a
	// third by chance does so to one in two million.
	givenUpAfter = 13
	// A store may be put back to what it was yesterday: what was confirmed is compared again.
	recheckEvery = 10 * time.Minute
	recheckAge   = 48 * time.Hour
	recheckMost  = 50_000 // records
	maxGiven     = 10_000
)

func newConfirmation(d *delivery, c *output.ConfirmConfig) (*confirmation, error) {
	one := &confirmation{d: d, again: map[int64]*attempt{}, given: map[int64]bool{}, rechecked: time.Now()}
	one.every, one.settle = c.Times()
	if c.File != "" {
		one.far = fleet.Files{Pattern: c.File}
		return one, nil
	}
	u, err := c.URL()
	if err != nil {
		return nil, err
	}
	one.far = fleet.NewStore(u)
	return one, nil
}

// cursor is the name by which the journal keeps how far it is.
func (c *confirmation) cursor() string { return c.d.output.Name() + confirmedSuffix }

const confirmedSuffix = " confirmed"

// begin finds how far it was. Where that is not known it begins with what the delivery sends next.
func (c *confirmation) begin(ctx context.Context, sent int64) {
	at, err := c.d.journal.Cursor(ctx, c.cursor())
	if err != nil || at == 0 || at > sent {
		at = sent
	}
	c.at.Store(at)
	c.kept = at
}

// run compares again and again until ctx is done.
func (c *confirmation) run(ctx context.Context) {
	wait := c.every
	for {
		select {
		case <-ctx.Done():
			c.keep()
			return
		case <-time.After(wait):
		}
		err := c.pass(ctx)
		wait = c.every
		if err != nil && ctx.Err() == nil {
			wait = c.fails(err)
		} else if c.failed.Swap(0) > 0 {
			c.d.log.Info().Msg("its far end answers again")
		}
		if c.outlook != nil {
			c.outlook(c)
		}
		c.keep()
	}
}

// fails says it once, and gives how long to wait.
func (c *confirmation) fails(err error) time.Duration {
	n := c.failed.Add(1)
	if n == 1 {
		c.d.log.Warn().Msgf("what arrived cannot be confirmed: %v; retention leaves what is not confirmed", err)
	}
	wait := min(c.every<<min(n, 16), max(longestAsk, c.every))
	if status := new(fleet.StatusError); errors.As(err, &status) {
		wait = max(wait, min(status.After, longestAsk))
	}
	return wait
}

func (c *confirmation) keep() {
	if at := c.at.Load(); at > 0 && at != c.kept {
		if err := c.d.journal.SetCursor(context.Background(), c.cursor(), at); err == nil {
			c.kept = at
		}
	}
}

// pass compares once, and sends again what should be there and is not.
func (c *confirmation) pass(ctx context.Context) error {
	now := time.Now()
	due := c.due(now)
	if now.Sub(c.rechecked) >= max(recheckEvery, c.every) {
		c.rechecked = now
		if err := c.recheck(ctx, now); err != nil {
			return err
		}
	}
	missing, err := c.compare(ctx, due)
	if err != nil {
		return err
	}
	return c.sendAgain(ctx, missing, now)
}

// due gives the last record that was sent so long ago that it should be there.
func (c *confirmation) due(now time.Time) int64 {
	c.sent = append(c.sent, mark{now, c.d.at.Load()})
	due := int64(0)
	first := 0
	for i, m := range c.sent {
		if now.Sub(m.at) >= c.settle {
			due, first = m.seq, i
		}
	}
	c.sent = c.sent[first:]
	if len(c.sent) > 1000 { // settle is much longer than every
		c.sent = append(c.sent[:1], c.sent[len(c.sent)-500:]...)
	}
	return due
}

// compare goes on from what is confirmed, and gives what is missing up to a record.
func (c *confirmation) compare(ctx context.Context, due int64) (missing []int64, err error) {
	sent := c.d.at.Load()
	whole := true // up to here
	oldest := int64(0)
	from := c.at.Load() + 1
	for range confirmWindow {
		links, err := c.d.journal.Links(ctx, from, confirmChunk)
		if err != nil {
			return nil, err
		}
		links = slices.DeleteFunc(links, func(l journal.Link) bool { return l.Seq > sent })
		if len(links) == 0 {
			break
		}
		has, err := c.ask(ctx, links)
		if err != nil {
			return nil, err
		}
		for _, l := range links {
			if has[l.Seq] || c.given[l.Seq] {
				c.settled(l.Seq)
			} else {
				whole = false
				if oldest == 0 {
					oldest = l.Time.UnixNano()
				}
				if l.Seq <= due {
					missing = append(missing, l.Seq)
				}
			}
			if whole {
				c.at.Store(l.Seq)
			}
		}
		from = links[len(links)-1].Seq + 1
		if len(links) < confirmChunk {
			break
		}
	}
	c.oldest.Store(oldest)
	return missing, nil
}

func (c *confirmation) settled(seq int64) {
	if _, ok := c.again[seq]; ok {
		delete(c.again, seq)
		c.arrived++
	}
}

// ask tells which of some records the far end has, by number and hash.
func (c *confirmation) ask(ctx context.Context, links []journal.Link) (map[int64]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	want := make(map[int64]journal.Sum, len(links))
	since, until := links[0].Time, links[0].Time
	for _, l := range links {
		want[l.Seq] = l.Hash
		if l.Time.Before(since) {
			since = l.Time
		}
		if l.Time.After(until) {
			until = l.Time
		}
	}
	has, other := map[int64]bool{}, map[int64]bool{}
	for l, err := range c.far.Links(ctx, c.d.journal.Name(), links[0].Seq, links[len(links)-1].Seq, since, until) {
		if err != nil {
			return nil, err
		}
		switch hash, ok := want[l.Seq]; {
		case !ok:
		case hash == l.Hash:
			has[l.Seq] = true
		default:
			other[l.Seq] = true
		}
	}
	c.conflicts.Store(int64(len(other)))
	for seq := range other {
		if !c.conflict {
			c.conflict = true
			c.d.log.Error().Msgf("its far end has another record %d than the journal: one of them was written anew; kmodtrace fleet verify tells more", seq)
		}
	}
	return has, nil
}

// recheck compares what was confirmed, and begins anew where something is gone.
func (c *confirmation) recheck(ctx context.Context, now time.Time) error {
	at := c.at.Load()
	for from := max(at-recheckMost, 0) + 1; from <= at; {
		links, err := c.d.journal.Links(ctx, from, confirmChunk)
		if err != nil || len(links) == 0 {
			return err
		}
		from = links[len(links)-1].Seq + 1
		links = slices.DeleteFunc(links, func(l journal.Link) bool { return l.Seq > at || now.Sub(l.Time) > recheckAge })
		if len(links) == 0 {
			continue
		}
		has, err := c.ask(ctx, links)
		if err != nil {
			return err
		}
		for _, l := range links {
			if has[l.Seq] || c.given[l.Seq] {
				continue
			}
			c.d.log.Warn().Msgf("record %d was confirmed, and its far end does not have it any more: what it lacks is sent again", l.Seq)
			c.at.Store(max(l.Seq-1, 1))
			return nil
		}
	}
	return nil
}

// sendAgain sends what is missing, unless that was tried a moment ago.
func (c *confirmation) sendAgain(ctx context.Context, missing []int64, now time.Time) error {
	var run []int64
	n := 0
	for _, seq := range missing {
		a := c.again[seq]
		if a == nil {
			a = new(attempt)
			c.again[seq] = a
		}
		if now.Before(a.next) {
			continue
		}
		if a.tries > 0 && c.arrived > a.saw {
			if a.vain++; a.vain >= givenUpAfter {
				c.giveUp(seq, "takes it, and does not keep it")
				continue
			}
		}
		if n++; n > resendAtOnce {
			break
		}
		a.tries++
		a.saw, a.next = c.arrived, now.Add(min(c.settle<<min(a.tries-1, 16), max(longestAgain, c.settle)))
		if len(run) > 0 && (seq != run[len(run)-1]+1 || len(run) == atOnce) {
			if err := c.send(ctx, run); err != nil {
				return err
			}
			run = nil
		}
		run = append(run, seq)
	}
	return c.send(ctx, run)
}

func (c *confirmation) giveUp(seq int64, why string) {
	if len(c.given) >= maxGiven {
		clear(c.given) // they are tried once more
	}
	c.given[seq] = true
	delete(c.again, seq)
	c.unkept.Add(1)
	c.d.log.Error().Msgf("record %d is not at its far end, which %s; it stays in the journal as long as retention leaves it there", seq, why)
}

// send sends records that follow each other.
func (c *confirmation) send(ctx context.Context, run []int64) error {
	if len(run) == 0 {
		return nil
	}
	for len(run) > 0 {
		records, err := c.d.journal.ReadFrom(ctx, run[0], len(run))
		if errors.Is(err, journal.ErrChanged) && len(records) == 0 {
			c.giveUp(run[0], "gets no record that is not as it was written")
			run = run[1:]
			continue
		}
		if len(records) == 0 {
			return err
		}
		entries := make([]output.Entry, 0, len(records))
		for i := range records {
			if records[i].Seq <= run[len(run)-1] {
				entries = append(entries, entryWith(ctx, c.d.journal, &records[i]))
			}
		}
		if len(entries) == 0 {
			return nil // retention was faster
		}
		err = c.d.send(ctx, entries)
		last := entries[len(entries)-1].Seq
		if refused := new(output.RefusedError); errors.As(err, &refused) && refused.Seq >= run[0] && refused.Seq <= last {
			c.giveUp(refused.Seq, "refuses it")
			last = refused.Seq
		} else if err != nil {
			return err
		}
		c.resent.Add(int64(len(entries)))
		for len(run) > 0 && run[0] <= last {
			run = run[1:]
		}
	}
	return nil
}

// oneAtATime lets the delivery and what sends again use an output, which is for one at a time.
type oneAtATime struct{ mu sync.Mutex }

// send passes entries on to the output.
func (d *delivery) send(ctx context.Context, entries []output.Entry) error {
	d.one.mu.Lock()
	defer d.one.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, sendWithin)
	defer cancel()
	return d.output.Send(limited, entries)
}
