package tracer

import (
	"time"

	"golang.org/x/time/rate"
)

// Sites names the places in the kernel that ask for modules. Whoever reads actions adds
// that when there is time: the kernel writes a long list of symbols for it, of which
// nothing stays here but the few that ask. It is not for several goroutines at once.
type Sites struct {
	// Patience is how long the name of the place of an unprivileged request is waited for:
	// a later one may find what this one asked for. Zero is as long as it takes.
	Patience time.Duration

	names map[Address]string
	reads *rate.Limiter
	find  func(Address) site
	// waits is where the answer comes that an unprivileged request asked for; nil while
	// there is none under way. No other is asked for before resume.
	waits  chan site
	resume time.Time
}

// site is the answer to one reading of the list.
type site struct {
	address Address
	name    string // empty where it is not known
	lasting bool   // it is the kernel's own code
	took    time.Duration
}

// Bounds of how often that list is read: anybody can have a module ask, as often as they
// like, and a busy machine can take ten seconds for one reading. Beyond them a place stays
// without its name.
const (
	readsASecond = 5
	// unprivilegedPause is how much longer than a reading took the next one for an
	// unprivileged request has to wait.
	unprivilegedPause = 50
)

// NewSites returns a Sites that knows none yet.
func NewSites() *Sites {
	return &Sites{names: make(map[Address]string), reads: rate.NewLimiter(readsASecond, 2*readsASecond), find: findSite}
}

// Name sets the symbol of each request that an action has part in, where there is one
// and this user may see it.
func (s *Sites) Name(a *Action) {
	if a.Request != nil {
		named := *a.Request // the correlator has the other
		named.Symbol = s.symbol(&named)
		a.Request = &named
	}
	for r := range a.Requesters() {
		r.Request.Symbol = s.symbol(&r.Request)
	}
}

// symbol names the place that a request's call returns to.
func (s *Sites) symbol(r *Request) string {
	select {
	case found := <-s.waits: // never, where none is under way
		s.take(&found)
	default:
	}
	name, known := s.names[r.Site]
	switch {
	case known || r.Site == 0:
		return name
	case r.Unprivileged:
		return s.ofUnprivileged(r.Site)
	case !s.reads.Allow():
		return ""
	}
	found := s.find(r.Site)
	s.remember(&found)
	return found.name
}

// ofUnprivileged waits for a moment for the name.
func (s *Sites) ofUnprivileged(address Address) string {
	if s.waits != nil || time.Now().Before(s.resume) {
		return ""
	}
	answer := make(chan site, 1)
	s.waits = answer
	go func() {
		began := time.Now()
		found := s.find(address)
		found.took = time.Since(began)
		answer <- found
	}()
	var late <-chan time.Time
	if s.Patience > 0 {
		timer := time.NewTimer(s.Patience)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case found := <-answer:
		s.take(&found)
		return found.name
	case <-late:
		return ""
	}
}

// take keeps the answer that was under way.
func (s *Sites) take(found *site) {
	s.waits = nil
	s.resume = time.Now().Add(unprivilegedPause * found.took)
	s.remember(found)
}

// remember keeps a name of the kernel's own code. What a module asks for is not
// remembered: another may lie there tomorrow.
func (s *Sites) remember(found *site) {
	if found.lasting && len(s.names) < maxNames {
		s.names[found.address] = found.name
	}
}

// findSite reads the list for one address.
func findSite(address Address) site {
	found := site{address: address}
	symbols := Symbols{Around: address}
	if symbols.Read() != nil {
		return found
	}
	symbol, ok := symbols.FindCall(address)
	// Where somebody hooks the return of the function, that is what it returns to.
	if at, _ := symbols.Find(address); !ok || at.Offset == 0 {
		return found
	}
	found.name, found.lasting = symbol.String(), symbol.Module == ""
	return found
}
