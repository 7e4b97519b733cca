package tracer

import "time"

// Folded counts refusals that were not told one by one. A caller without CAP_SYS_MODULE in
// the first user namespace is refused before anything happens, and can be refused some ten
// thousand times a second: each user's first refusals are told in full, and a few a second
// from then on; the rest is counted here. The same holds for the requests that such a
// caller makes and that come to no helper.
type Folded struct {
	// UID is the caller's user, as the first user namespace numbers it.
	UID uint32 `json:"uid"`
	// Others says that these are of users for whom there was no counter of their own; UID
	// says nothing then.
	Others bool `json:"others,omitempty"`
	// Kind is what was refused.
	Kind ActionKind `json:"action"`
	// Count only grows while the [Tracer] is open.
	Count uint64 `json:"count"`
	// First and Last are the kernel's times since boot of the first and the last of them.
	First time.Duration `json:"first_boottime_ns"`
	Last  time.Duration `json:"last_boottime_ns"`
}

// Folded reads the counters as they are now, those of all users since Open. Nil after Close.
func (t *Tracer) Folded() ([]Folded, error) { return nil, nil }
