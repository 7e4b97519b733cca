package tracer

// Bounds of what is kept to say who.
const (
	maxAsked      = 1024    // requests whose helper may still load
	maxAskedBytes = 4 << 20 // of these
	maxNested     = 8       // requests inside the loads of requests
	// Of those who waited for a load too, so many are told with their ancestors.
	maxAwaitedWhole = 4
	// Kernel threads that kernel threads had made (MOST_GENERATIONS).
	maxGenerations = 4
)

// lineage is what events have told of an action's actor.
type lineage struct {
	actor     *ActorDetails
	directory *Directory
	line      []Process
	cut       bool // one is missing in it
	// by is who had the actor's kernel thread made; nil where that was not told.
	by *lineage
}

// generation gives the lineage of the actor (0), of who had its kernel thread made (1), and so
// on; nil for one that is too far.
func (l *lineage) generation(n int) *lineage {
	if n < 0 || n > maxGenerations {
		return nil
	}
	for ; n > 0; n-- {
		if l.by == nil {
			l.by = new(lineage)
		}
		l = l.by
	}
	return l
}

// actorDetails adds what is not of the line.
func (a *Action) actorDetails(d *ActorDetails) {
	if l := a.lineage.generation(d.Generation); l != nil {
		l.actor = d
	}
}

// ancestor adds the next of the line. Behind a gap nobody's parent would be right.
func (a *Action) ancestor(k *Ancestor) {
	if a.ForRequest == 0 {
		a.ForRequest = k.ForRequest
	}
	l := a.lineage.generation(k.Generation)
	switch {
	case l == nil:
	case k.Index == len(l.line):
		l.line = append(l.line, k.Process)
		l.cut = l.cut || k.AncestorsCut
	default:
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
	a := &Actor{Process: k.find(l.line[0]), WorkingDirectory: l.directory}
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
	if l.by != nil {
		a.StartedBy = k.actor(l.by)
	}
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
