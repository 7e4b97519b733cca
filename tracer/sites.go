package tracer

import (
	"time"

	"golang.org/x/time/rate"
)

// Sites names the places in the kernel that ask for modules. Whoever reads actions adds
// that when there is time: the kernel writes a long list of symbols for it, of which
// nothing stays here but the few that ask. It is not for several goroutines at once.
type Sites struct {
	names map[Address]string
	reads *rate.Limiter
	// resume is when the list may be read again for a request of the unprivileged.
	resume time.Time
	read   func(*Symbols) error
}

// Bounds of how often that list is read: anybody can have a module ask, as often as they
// like. Beyond them a place stays without its name.
const (
	readsASecond = 5
	// unprivilegedShare is how much longer than a reading took the next one for an
	// unprivileged request has to wait: a slow machine takes a second for one.
	unprivilegedShare = 50
)

// NewSites returns a Sites that knows none yet.
func NewSites() *Sites {
	return &Sites{names: make(map[Address]string), reads: rate.NewLimiter(readsASecond, 2*readsASecond), read: (*Symbols).Read}
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

// symbol names the place that a request's call returns to. What a module asks for is not
// remembered: another may lie there tomorrow.
func (s *Sites) symbol(r *Request) string {
	address := r.Site
	name, known := s.names[address]
	if known || address == 0 {
		return name
	}
	symbols := Symbols{Around: address}
	if !s.readFor(&symbols, r.Unprivileged) {
		return ""
	}
	symbol, ok := symbols.FindCall(address)
	// Where somebody hooks the return of the function, that is what it returns to.
	if at, _ := symbols.Find(address); !ok || at.Offset == 0 {
		return ""
	}
	if symbol.Module == "" && len(s.names) < maxNames {
		s.names[address] = symbol.String()
	}
	return symbol.String()
}

// readFor reads the list, unless it was read too often.
func (s *Sites) readFor(symbols *Symbols, unprivileged bool) bool {
	began := time.Now()
	if unprivileged && began.Before(s.resume) || !s.reads.AllowN(began, 1) {
		return false
	}
	err := s.read(symbols)
	if unprivileged {
		s.resume = began.Add(unprivilegedShare * time.Since(began))
	}
	return err == nil
}
