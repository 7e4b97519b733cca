package tracer

// TrackRequests bounds the requests that the kernel side keeps in flight.
func (o *Options) TrackRequests(n uint32) { o.requests = n }

// Unhurried has the kernel side tell whatever the budgets allow, also where the reader cannot
// follow: for tests of the budgets, which a busy machine must not change.
func (o *Options) Unhurried() *Options {
	o.unhurried = true
	return o
}
