package tracer

import (
	"os/user"
	"slices"
	"strconv"

	"github.com/kmodtrace/kmodtrace/internal/wire"
)

// maxNames bounds what an Enricher remembers.
const maxNames = 1024

// Enricher adds to actions what their events do not say and this machine knows at
// once: the time on the wall clock, and the names of users. It is not for several
// goroutines at once.
type Enricher struct {
	users map[uint32]string
	sites *kernelSites // nil where the kernel names who asks
}

// NewEnricher returns an Enricher that knows nothing yet.
func NewEnricher() *Enricher { return &Enricher{users: make(map[uint32]string)} }

// Enrich adds to one action. What belongs to others too, the actors of requests, is
// not changed but copied.
func (en *Enricher) Enrich(a Action) Action {
	a.Time = wallClock(a.Start)
	a.Actor = en.actor(a.Actor)
	if a.Request != nil {
		request := en.request(*a.Request) // the correlator has the other
		a.Request = &request
	}
	if en.sites != nil {
		a.Callbacks = slices.Clone(a.Callbacks)
		for i, called := range a.Callbacks {
			a.Callbacks[i] = en.sites.function(called)
		}
	}
	a.Requester = en.requester(a.Requester)
	for i := range a.AwaitedBy {
		a.AwaitedBy[i] = *en.requester(&a.AwaitedBy[i])
	}
	return a
}

func (en *Enricher) actor(a *Actor) *Actor {
	if a == nil {
		return nil
	}
	named := *a
	named.Process = en.process(a.Process)
	named.Ancestors = make([]Process, len(a.Ancestors))
	for i, p := range a.Ancestors {
		named.Ancestors[i] = en.process(p)
	}
	named.StartedBy = en.actor(a.StartedBy)
	return &named
}

func (en *Enricher) process(p Process) Process {
	p.User, p.EffectiveUser = en.user(p.UID), en.user(p.EUID)
	if p.LoginUID != nil {
		p.LoginUser = en.user(*p.LoginUID)
	}
	return p
}

func (en *Enricher) requester(r *Requester) *Requester {
	if r == nil {
		return nil
	}
	named := *r
	named.Actor = en.actor(r.Actor)
	named.Request = en.request(r.Request)
	named.Requester = en.requester(r.Requester)
	return &named
}

func (en *Enricher) request(r Request) Request {
	if en.sites == nil {
		return r
	}
	return en.sites.named(r)
}

// user gives the name of a user of this machine; empty for none.
func (en *Enricher) user(uid uint32) string {
	name, known := en.users[uid]
	if known {
		return name
	}
	if found, err := user.LookupId(strconv.FormatUint(uint64(uid), 10)); err == nil {
		name = wire.Printable(found.Username)
	}
	if len(en.users) >= maxNames {
		clear(en.users)
	}
	en.users[uid] = name
	return name
}
