package tracer

// TrackRequests bounds the requests that the kernel side keeps in flight.
func (o *Options) TrackRequests(n uint32) { o.requests = n }
