package tracer

import "slices"

// Bounds of what is kept to say who. The kernel side tells of a process once, and
// forgets whom it told of after 4,096 others: this side must forget later.
const (
	maxKnown  = 4 * 4096
	maxAsked  = 1024 // requests whose helper may still load
	maxNested = 8    // requests inside the loads of requests
)

// known is what was told of processes, the least used of which is forgotten.
type known struct {
	processes map[identity]*knownProcess
	uses      uint64
	mount     uint32 // the machine's first mount namespace; zero until it is seen
}

type knownProcess struct {
	Process
	used uint64
}

func (k *known) add(p *Process) {
	if k.processes == nil {
		k.processes = make(map[identity]*knownProcess)
	}
	if len(k.processes) >= maxKnown {
		k.forget()
	}
	k.uses++
	k.processes[p.identity()] = &knownProcess{Process: *p, used: k.uses}
}

// forget drops the half that was not used for longest.
func (k *known) forget() {
	oldest := k.uses - maxKnown/2
	for id, p := range k.processes {
		if p.used < oldest {
			delete(k.processes, id)
		}
	}
}

// find gives all that is known of a process.
func (k *known) find(p Process) Process {
	told := k.processes[p.identity()]
	if told == nil {
		return p
	}
	k.uses++
	told.used = k.uses
	found := told.Process
	found.Comm = p.Comm
	found.Namespaces.Mount.Initial = k.mount != 0 && k.mount == found.Namespaces.Mount.ID
	return found
}

// lineage is what events have told of an action's actor.
type lineage struct {
	doer *Doer
	line []Process
	cut  bool // one is missing in it
}

// kin adds the next of the line. Behind a gap nobody's parent would be right.
func (a *Action) kin(k *Kin) {
	if a.ForRequest == 0 {
		a.ForRequest = k.ForRequest
	}
	if l := &a.lineage; k.Index == len(l.line) {
		l.line = append(l.line, k.Process)
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
	if d := l.doer; d != nil {
		a.Args, a.ArgsCut, a.Capabilities = d.Args, d.ArgsCut, d.Capabilities
	}
	for _, p := range l.line[1:] {
		a.Ancestors = append(a.Ancestors, k.find(p))
	}
	a.AncestorsCut = l.cut || len(l.line) == maxProcesses && l.line[maxProcesses-1].PID > 2
	return a
}

// open gives the action of that ID which is open in the event's thread.
func (c *Correlator) open(e Event, id uint64) *Action {
	for _, open := range []map[uint32]*Action{c.attempts, c.requests} {
		if a := open[e.Thread.TID]; a != nil && a.ID == id && a.Thread.Start == e.Thread.Start {
			return a
		}
	}
	return nil
}

// remember keeps a request for the loads that its helper will make.
func (c *Correlator) remember(r *Action) {
	if len(c.asked) >= maxAsked {
		c.asked = slices.Delete(c.asked, 0, len(c.asked)-maxAsked+1)
	}
	c.asked = append(c.asked, r)
}

func (c *Correlator) askedFor(id uint64) *Action {
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
			a.AwaitedBy = append(a.AwaitedBy, c.requester(r, maxNested))
		}
	}
}

// sharing gives the requests whose own helper is about to load the same file, and so
// gets this load's result.
func (c *Correlator) sharing(a *Action) map[uint64]bool {
	requests := make(map[uint64]bool)
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
