package fleet

import (
	"fmt"
	"slices"
	"time"

	"github.com/kmodtrace/kmodtrace/journal"
)

// chain goes along the records of one journal.
type chain struct {
	v       *Verified
	gone    []journal.Span
	anchors []journal.Anchor
	now     time.Time

	at     int64  // the number of the last records
	before []link // the records of the number before
	here   []link // and those of this one, each once
	forked int64  // the first number that two records have; 0 for none
	last   link   // the last one that is as it was written
	clocks bool   // the clock was set since
	future bool
}

// link is one of the records of a number.
type link struct {
	hash, prev      journal.Sum
	sound, unproven bool
	boot, host      string
	at              time.Time
}

func newChain(name string, gone []journal.Span, anchors []journal.Anchor, now time.Time) *chain {
	return &chain{v: &Verified{Journal: name, Hosts: []Host{}, Problems: []Problem{}, Runs: []Run{}}, gone: gone, anchors: anchors, now: now}
}

func (c *chain) problem(t Trouble, from, through int64, format string, args ...any) {
	if len(c.v.Problems) >= maxProblems {
		c.v.More++
		if notices[t] {
			return
		}
		// What makes a journal bad must not be hidden behind notices.
		c.v.Problems[len(c.v.Problems)-1] = Problem{t, from, through, fmt.Sprintf(format, args...)}
		return
	}
	c.v.Problems = append(c.v.Problems, Problem{t, from, through, fmt.Sprintf(format, args...)})
}

// step takes the next record: of the same number, or of a later one.
func (c *chain) step(i *item) {
	if i.seq != c.at {
		c.close()
		if i.seq != c.at+1 {
			c.hole(c.at+1, i.seq-1)
			c.before = nil
		} else {
			c.before = c.here
		}
		c.here, c.at = nil, i.seq
	}
	c.host(i)
	if i.changed != "" {
		c.problem(Changed, i.seq, i.seq, "%s", i.changed)
	}
	for _, l := range c.here {
		if l.hash == i.hash {
			c.v.Repeated++
			return
		}
	}
	c.here = append(c.here, link{i.hash, i.prev, i.changed == "" && !i.unproven, i.unproven, i.boot, i.hostName, i.at})
	c.run(i)
	if len(c.here) > 1 {
		return
	}
	c.v.Records++
	if c.v.From == 0 {
		c.v.From, c.v.First = i.seq, i.at
	}
	c.v.Through, c.v.Last, c.v.lastKind = i.seq, i.at, i.kind
	c.clock(i)
}

// hole notes that records are not there: those that retention removed are not missing.
func (c *chain) hole(from, through int64) {
	for _, g := range c.gone {
		if g.Through < from || g.From > through {
			continue
		}
		if g.From > from {
			c.missing(from, g.From-1)
		}
		c.v.Removed += min(g.Through, through) - max(g.From, from) + 1
		from = g.Through + 1
	}
	if from <= through {
		c.missing(from, through)
	}
}

func (c *chain) missing(from, through int64) {
	c.v.Missing += through - from + 1
	if from == through {
		c.problem(Missing, from, through, "record %d is not there", from)
		return
	}
	c.problem(Missing, from, through, "records %d to %d are not there", from, through)
}

// close judges the records of one number, when all of them are known.
func (c *chain) close() {
	var sound []link
	for _, l := range c.here {
		if l.sound {
			sound = append(sound, l)
		}
		if l.unproven && c.v.Records > 0 && !slices.ContainsFunc(c.v.Problems, func(p Problem) bool { return p.Trouble == Unproven }) {
			c.problem(Unproven, c.at, 0, "from record %d on some have nothing to verify them by: an earlier release sent them", c.at)
		}
	}
	if len(sound) > 1 && c.forked == 0 {
		c.forked = c.at
		c.problem(Forked, c.at, c.at, "two histories from record %d on: %s", c.at, differ(sound[0], sound[1]))
	}
	c.follows(sound)
	c.anchor()
	if len(sound) > 0 {
		c.last = sound[0]
	}
}

// differ tells two records of one number apart for people.
func differ(a, b link) string {
	switch {
	case a.boot != b.boot && a.host != b.host && a.host != "" && b.host != "":
		return fmt.Sprintf("one of %s in run %.8s of the kernel, one of %s in run %.8s: the machine was copied with its journal", a.host, a.boot, b.host, b.boot)
	case a.boot != b.boot:
		return fmt.Sprintf("one in run %.8s of the kernel, one in run %.8s: the machine was copied with its journal, or an old copy of the journal was put back", a.boot, b.boot)
	}
	return fmt.Sprintf("hashes %.8s and %.8s in one run of the kernel: the journal was written anew", a.hash, b.hash)
}

// follows tells whether each record follows one that is there. Of a changed one the hash that it
// claims is compared.
func (c *chain) follows(sound []link) {
	if c.at == 1 {
		for _, l := range sound {
			if l.prev != (journal.Sum{}) {
				c.rewritten("record 1 follows another record")
			}
		}
	}
	if len(c.before) == 0 || c.at == 1 {
		return
	}
	for _, l := range sound {
		if !slices.ContainsFunc(c.before, func(b link) bool { return b.hash == l.prev }) {
			c.rewritten(fmt.Sprintf("record %d follows another record %d than the one that is there (%.8s, not %.8s)", c.at, c.at-1, l.prev, c.before[0].hash))
		}
	}
}

func (c *chain) rewritten(text string) { c.problem(Rewritten, c.at, c.at, "%s", text) }

// anchor compares the records of a number with the anchors of it.
func (c *chain) anchor() {
	for _, a := range c.anchors {
		if a.Count != c.at || len(c.here) == 0 {
			continue
		}
		if !slices.ContainsFunc(c.here, func(l link) bool { return l.hash == a.Hash }) {
			c.problem(Anchored, c.at, c.at, "the anchor of %s has another hash for record %d (%.8s, not %.8s)", a.Time.UTC().Format(time.RFC3339), c.at, a.Hash, c.here[0].hash)
		}
	}
}

// host notes whose records these are.
func (c *chain) host(i *item) {
	h := Host{i.hostID, i.hostName, i.kernel}
	for k, known := range c.v.Hosts {
		if known.key() == h.key() || h.key() == "\x00" || h.ID == "" && h.Name == known.Name {
			if h.Kernel != "" {
				c.v.Hosts[k].Kernel = h.Kernel
			}
			return
		}
		if known.ID == "" && known.Name == h.Name || known.key() == "\x00" {
			c.v.Hosts[k] = h
			return
		}
	}
	if len(c.v.Hosts) < 100 {
		c.v.Hosts = append(c.v.Hosts, h)
	}
}

// run notes which runs of the kernel there are.
func (c *chain) run(i *item) {
	for k := len(c.v.Runs) - 1; k >= 0; k-- {
		if r := &c.v.Runs[k]; r.Boot == i.boot {
			r.Through, r.Records = i.seq, r.Records+1
			r.First, r.Last = earlier(r.First, i.at), later(r.Last, i.at)
			return
		}
	}
	if len(c.v.Runs) < maxRuns {
		c.v.Runs = append(c.v.Runs, Run{i.boot, i.seq, i.seq, 1, i.at, i.at})
	} else {
		c.v.dropped++
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// An attempt is recorded when it ends, with the time of its beginning: times go back by as much as
// one takes. A clock that is wrong is off by more.
const (
	mostBack  = 10 * time.Minute
	mostAhead = 10 * time.Minute
)

func (c *chain) clock(i *item) {
	if i.kind == journal.KindClock {
		c.clocks = true
	}
	prior := c.last
	if prior.boot == i.boot && !c.clocks && prior.at.Sub(i.at) > mostBack {
		c.problem(Clock, i.seq, i.seq, "record %d is of %v before the one before it, and no record says that the clock was set", i.seq, prior.at.Sub(i.at).Round(time.Second))
	}
	if i.kind != journal.KindClock {
		c.clocks = false
	}
	if ahead := i.at.Sub(c.now); ahead > mostAhead && !c.future {
		c.future = true
		c.problem(Clock, i.seq, i.seq, "record %d is of %v from now: the machine's clock is ahead of this one's", i.seq, ahead.Round(time.Second))
	}
}

// finish judges the end.
func (c *chain) finish() *Verified {
	c.close()
	end := c.at
	for _, a := range c.anchors {
		end = max(end, a.Count)
	}
	if end > c.at {
		c.problem(Anchored, c.at+1, end, "an anchor knows records up to %d, and the last that is there is %d", end, c.at)
		c.hole(c.at+1, end)
	}
	return c.v
}
