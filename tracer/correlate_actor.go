package tracer

import "slices"

// Bounds of what is kept to say who.
const (
	maxAsked      = 1024    // requests whose helper may still load
	maxAskedBytes = 4 << 20 // of these
	maxNested     = 8       // requests inside the loads of requests
	// Of those who waited for a load too, so many are told with their ancestors.
	maxAwaitedWhole = 4
)

// lineage is what events have told of an action's actor.
type lineage struct {
	actor *ActorDetails
	line  []Process
	cut   bool // one is missing in it
}

// ancestor adds the next of the line. Behind a gap nobody's parent would be right.
func (a *Action) ancestor(k *Ancestor) {
	if a.ForRequest == 0 {
		a.ForRequest = k.ForRequest
	}
	if l := &a.lineage; k.Index == len(l.line) {
		l.line = append(l.line, k.Process)
		l.cut = l.cut || k.AncestorsCut
	} else {
		l.cut = true
	}
}

// learn takes the mount namespace of what all other processes come from for the
// machine's first. The kernel does not number those alike on all versions.
func (k *known) learn(l *lineage) {
	if last := l.line[len(l.line)-1]; last.PID == 1 && k.mount == 0 || last.PID == 2 {
		k.mount = last.Namespaces.Mount.ID
	}
}

// actor puts together who a lineage is of; nil where its events were lost.
func (k *known) actor(l *lineage) *Actor {
	if len(l.line) == 0 {
		return nil
	}
	k.learn(l)
	a := &Actor{Process: k.find(l.line[0])}
	if d := l.actor; d != nil {
		a.Args, a.ArgsCut, a.Capabilities = d.Args, d.ArgsCut, d.Capabilities
	}
	for _, p := range l.line[1:] {
		a.Ancestors = append(a.Ancestors, k.find(p))
	}
	line := []*Process{&a.Process}
	for i := range a.Ancestors {
		line = append(line, &a.Ancestors[i])
	}
	doubtLogin(line)
	a.AncestorsCut = l.cut || len(l.line) == maxProcesses && l.line[maxProcesses-1].PID > 2
	return a
}

// open gives the action of that ID which is open in the event's thread.
func (c *Correlator) open(e Event, id ID) *Action {
	for _, open := range []map[uint32]*Action{c.attempts, c.requests} {
		if a := open[e.Thread.TID]; a != nil && a.ID == id && a.Thread.Start == e.Thread.Start {
			return a
		}
	}
	return nil
}

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
