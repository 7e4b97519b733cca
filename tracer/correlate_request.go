package tracer

import (
	"golang.org/x/sys/unix"
)

func (c *Correlator) request(e Event) (done []Action) {
	if old := c.requests[e.Thread.TID]; old != nil {
		done = append(done, c.giveUpRequest(old))
	}
	done = append(done, c.evict()...)
	if c.ranges != nil && e.Request.Symbol == "" {
		named := *e.Request
		named.Symbol = c.ranges.find(named.Site, e.Time)
		e.Request = &named
	}
	r := &Action{
		ID:       ID(e.Time),
		Kind:     Autoload,
		Module:   e.Request.Name,
		NameFrom: NameKernel,
		Start:    e.Time,
		latest:   e.Time,
		Thread:   e.Thread,
		Request:  e.Request,
		Seen:     []Kind{e.Kind},
	}
	c.keep(c.requests, r)
	c.grow(r, &e)
	c.remember(r)
	return done
}

// giveUpRequest takes a request out whose end will not come.
func (c *Correlator) giveUpRequest(r *Action) Action {
	c.drop(c.requests, r)
	r.EndLost = true
	c.attribute(r)
	return *r
}

func (c *Correlator) requestReturn(e Event) []Action {
	a := c.requests[e.Thread.TID]
	if a == nil || a.Thread.Start != e.Thread.Start {
		return nil
	}
	c.drop(c.requests, a)
	a.Seen = append(a.Seen, KindRequestReturn)
	a.End, a.Took = e.Time, e.Time-a.Start
	status := e.Return.Value
	switch {
	case status < 0:
		a.Outcome = Failed
		a.Errno = unix.Errno(-status)
		a.ErrnoName = ErrnoName(a.Errno)
	case !a.Request.Wait:
		// Started and left alone: its result goes to nobody.
	case status > 0:
		a.Outcome = Failed
		a.HelperStatus = &status
	default:
		a.Outcome = Answered
		a.HelperStatus = &status
	}
	c.attribute(a)
	whole := *a
	// What is still asked of it is who made it, and for what.
	a.Actor, a.Requester, a.Loads, a.Seen = nil, nil, nil, nil
	return []Action{whole}
}

// helperOf tells a request which program the kernel starts for it.
func (c *Correlator) helperOf(e Event) {
	a := c.requests[e.Thread.TID]
	if a == nil || a.Thread.Start != e.Thread.Start {
		return
	}
	with := *a.Request
	with.Helper = e.Helper.Path
	a.Request = &with
	a.Seen = append(a.Seen, KindHelper)
	c.grow(a, &e)
}

// helped tells a request of a load that its helper made.
func (c *Correlator) helped(a *Action) {
	if a.Kind != Load || a.ForRequest == 0 {
		return
	}
	for _, r := range c.requests {
		if r.ID == a.ForRequest && len(r.Loads) < maxHelped {
			r.Loads = append(r.Loads, a.ID)
		}
	}
}
