package tracer

import "golang.org/x/time/rate"

// Sites names the places in the kernel that ask for modules. Whoever reads actions adds
// that when there is time: the kernel writes a long list of symbols for it, of which
// nothing stays here but the few that ask. It is not for several goroutines at once.
type Sites struct {
	names map[Address]string
	reads *rate.Limiter
}

// readsASecond bounds how often that list is read: anybody can have a module ask, as often
// as they like. Beyond it a place stays without its name.
const readsASecond = 5

// NewSites returns a Sites that knows none yet.
func NewSites() *Sites {
	return &Sites{names: make(map[Address]string), reads: rate.NewLimiter(readsASecond, 2*readsASecond)}
}

// Name sets the symbol of each request that an action has part in, where there is one
// and this user may see it.
func (s *Sites) Name(a *Action) {
	if a.Request != nil {
		named := *a.Request // the correlator has the other
		named.Symbol = s.symbol(a.Request.Site)
		a.Request = &named
	}
	for r := range a.Requesters() {
		r.Request.Symbol = s.symbol(r.Request.Site)
	}
}

// symbol names the place that a call returns to. What a module asks for is not
// remembered: another may lie there tomorrow.
func (s *Sites) symbol(address Address) string {
	name, known := s.names[address]
	if known || address == 0 {
		return name
	}
	if !s.reads.Allow() {
		return ""
	}
	symbols := Symbols{Around: address}
	if symbols.Read() != nil {
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
