package tracer

import "slices"

// Who made the request that a load serves: a request is joined with the loads of its helper.

// remember keeps a request for the loads that its helper will make.
func (c *Correlator) remember(r *Action) {
	bytes := 0
	for _, old := range c.asked {
		bytes += old.size
	}
	for len(c.asked) > 0 && (len(c.asked) >= maxAsked || bytes > maxAskedBytes) {
		i := c.leastAsked()
		bytes -= c.asked[i].size
		c.asked = slices.Delete(c.asked, i, i+1)
	}
	c.asked = append(c.asked, r)
}

// leastAsked is the request to forget first: of threads that may not load before others,
// that has ended before others, the oldest.
func (c *Correlator) leastAsked() int {
	least, rank := 0, -1
	for i, r := range c.asked {
		of := 0
		if r.limited() {
			of += 2
		}
		if r.End != 0 && r.Request.Wait {
			of++
		}
		if of > rank {
			least, rank = i, of
		}
	}
	return least
}

func (c *Correlator) askedFor(id ID) *Action {
	i := slices.IndexFunc(c.asked, func(r *Action) bool { return id != 0 && r.ID == id })
	if i < 0 {
		return nil
	}
	return c.asked[i]
}

// attribute says who did it, when all that belongs to an action has come.
func (c *Correlator) attribute(a *Action) {
	a.Actor = c.known.actor(&a.lineage)
	own := c.askedFor(a.ForRequest)
	if own != nil {
		who := c.requester(own, maxNested)
		a.Requester = &who
	}
	if a.Kind != Load {
		return
	}
	a.AwaitedBy = nil
	sharing := c.sharing(a)
	for _, r := range c.asked {
		if r != own && len(a.AwaitedBy) < maxHelped && (sharing[r.ID] || alike(r, own, a)) {
			nested := maxNested
			if len(a.AwaitedBy) >= maxAwaitedWhole {
				nested = 0
			}
			who := c.requester(r, nested)
			if nested == 0 {
				who.Actor = who.Actor.alone()
			}
			a.AwaitedBy = append(a.AwaitedBy, who)
		}
	}
}

// sharing gives the requests whose own helper is about to load the same file, and so
// gets this load's result.
func (c *Correlator) sharing(a *Action) map[ID]bool {
	requests := make(map[ID]bool)
	for _, l := range c.attempts {
		if l != a && l.ForRequest != 0 && l.Kind == Load && sameFile(l.File, a.File) {
			requests[l.ForRequest] = true
		}
	}
	return requests
}

// alike tells whether a request was for the same as the one whose helper made the load,
// and waited at the same time.
func alike(r, own, a *Action) bool {
	return own != nil && r.Module == own.Module && r.Start <= a.End && (r.End == 0 || r.End >= a.Start)
}

func sameFile(f, g *File) bool {
	return f != nil && g != nil && f.Device == g.Device && f.Inode == g.Inode
}

// requester is who made a request, and for whose sake in turn.
func (c *Correlator) requester(r *Action, nested int) Requester {
	who := Requester{ID: r.ID, Request: *r.Request, Thread: r.Thread, Actor: c.known.actor(&r.lineage)}
	if up := c.askedFor(r.ForRequest); up != nil && nested > 0 {
		next := c.requester(up, nested-1)
		who.Requester = &next
	}
	return who
}
